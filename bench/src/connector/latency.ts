import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ensureTopics, TOPICS } from '@lockstep/runtime'
import { decodeEvent } from '@lockstep/schemas'
import { pollUntil } from '@lockstep/servers'
import { quantiles } from '../bench.ts'
import { commitItems, waitsOf } from '../pgbench.ts'
import type { PlainOptions } from './plain.ts'
import { PUBLICATION, type Rig } from './rig.ts'
import { tailTopic, valuesOf } from './tail.ts'

const PLAIN = fileURLToPath(new URL('plain.ts', import.meta.url))
// A process that has just started compiles its own hot paths: for 8 s at 2,000 a second, at a lower rate for longer.
const WARM_COMMITS = 16_000
const SECONDS = 15
// The broker compiles what it has run some ten thousand times, so a young one is at it for half a minute of this load.
const BROKER_WARM_SECONDS = 40
const DEADLINE_MS = 30_000
// As the connector makes them.
const PARTITIONS = 4

/** Latencies from a commit's acknowledgement at the writer to its record at a consumer, ms. */
export interface Latency {
  readonly commits: number
  readonly p50: number
  readonly p99: number
}

/** With how long transactions waited for a snapshot that sees them: bounds of the histogram's buckets. */
export interface ConnectorLatency extends Latency {
  readonly gateP50: number
  readonly gateP99: number
}

interface Load {
  readonly topic: string
  readonly rate: number
  readonly seconds: number
  /** The id that a record is about, if it is about one. */
  readonly idOf: (value: Buffer) => number | undefined
}

/** Takes commits to the topic by a connector, at a steady `rate` a second. */
export async function measureLatency(rig: Rig, rate: number): Promise<ConnectorLatency> {
  return await withConnector(rig, async (topic, metrics) => {
    const load = { topic, rate, seconds: warmSeconds(rate) + SECONDS, idOf: insertedId }
    const latency = await follow(rig, load)
    const buckets = bucketsOf(await metrics(), 'lockstep_visibility_wait_seconds')
    return { ...latency, gateP50: quantileOf(buckets, 0.5) * 1000, gateP99: quantileOf(buckets, 0.99) * 1000 }
  })
}

/** Keeps a connector and its broker at work until the broker has compiled what it needs: what is measured is a steady state. */
export async function warmBroker(rig: Rig, rate: number): Promise<void> {
  await withConnector(rig, (topic) => follow(rig, { topic, rate, seconds: BROKER_WARM_SECONDS, idOf: insertedId }))
}

/** The same commits, broker and consumer with a plain script in the connector's place: what this machine allows anybody. */
export async function measurePlain(rig: Rig, rate: number): Promise<Latency> {
  const { postgres, kafka, client } = rig
  const [namespace, slot] = ['plain', `plain_${rate}`]
  await client.query('truncate items')
  await ensureTopics({ brokers: kafka.brokers, namespace, clientId: 'bench' }, { [slot]: PARTITIONS })
  await client.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
  const topic = `${namespace}.${slot}`
  const options: PlainOptions = {
    databaseUrl: postgres.url,
    brokers: kafka.brokers,
    topic,
    slot,
    publication: PUBLICATION,
  }
  // Of kafkajs, which is used here as it comes.
  const execArgv = [...process.execArgv, '--disable-warning=TimeoutNegativeWarning']
  const child = fork(PLAIN, [JSON.stringify(options)], { execArgv })
  try {
    await rig.untilStreaming(slot)
    const idOf = (value: Buffer): number => Number((JSON.parse(value.toString()) as { id: string }).id)
    return await follow(rig, { topic, rate, seconds: warmSeconds(rate) + SECONDS, idOf })
  } finally {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    await rig.dropSlot(slot)
  }
}

async function withConnector<T>(
  rig: Rig,
  measure: (topic: string, metrics: () => Promise<string>) => Promise<T>,
): Promise<T> {
  const slot = 'latency'
  await rig.client.query('truncate items')
  const { service, namespace } = await rig.connector(slot)
  try {
    await rig.untilStreaming(slot)
    return await measure(`${namespace}.${TOPICS.changes}`, () => service.metrics())
  } finally {
    await service.stop()
    await rig.dropSlot(slot)
  }
}

/** Lets pgbench commit and compares its log of answers with what a consumer receives. One clock: one machine. */
async function follow(rig: Rig, { topic, rate, seconds, idOf }: Load): Promise<Latency> {
  const tail = await tailTopic(rig.kafka.brokers[0] ?? '', topic, PARTITIONS)
  const acknowledged = await commitItems(rig.postgres, { rate, seconds })
  const arrivals = new Map<number, number>()
  const isAll = (): boolean => {
    for (const { batches, atMs } of tail.take()) {
      for (const value of valuesOf(batches)) {
        const id = idOf(value)
        if (id !== undefined) arrivals.set(id, atMs)
      }
    }
    return [...acknowledged.keys()].every((id) => arrivals.has(id))
  }
  const isComplete = await pollUntil(isAll, DEADLINE_MS, 100)
  await tail.stop()
  if (!isComplete) throw new Error('some commits never reached the consumer')
  const waits = waitsOf(acknowledged, arrivals, warmSeconds(rate))
  return { commits: waits.length, ...quantiles(waits) }
}

const warmSeconds = (rate: number): number => WARM_COMMITS / rate

function insertedId(value: Buffer): number | undefined {
  const event = decodeEvent(value)
  return event.kind === 'change' && event.op === 'insert' ? Number(event.after['id']) : undefined
}

type Buckets = readonly (readonly [bound: number, count: number])[]

function bucketsOf(metrics: string, name: string): Buckets {
  const lines = metrics.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"[^}]*\\} (\\d+)`, 'gm'))
  return [...lines].map(([, bound, count]) => [bound === '+Inf' ? Infinity : Number(bound), Number(count)])
}

/** The bound of the bucket in which the quantile lies. */
function quantileOf(buckets: Buckets, q: number): number {
  const total = buckets.at(-1)?.[1] ?? 0
  return buckets.find(([, count]) => count >= total * q)?.[0] ?? Number.NaN
}
