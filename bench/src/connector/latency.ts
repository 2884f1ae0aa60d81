import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TOPICS } from '@lockstep/runtime'
import { decodeEvent } from '@lockstep/schemas'
import { pollUntil } from '@lockstep/servers'
import type { Rig } from './rig.ts'
import { tailTopic, valuesOf } from './tail.ts'

export const PGBENCH = 'pgbench'
const CLIENTS = 8
// The broker's and the connector's compilers are at work for about that long.
const WARM_SECONDS = 10
const SECONDS = 15
const DEADLINE_MS = 30_000
// As the connector makes them.
const PARTITIONS = 4
// An id tells who wrote it and as which of his commits.
const ID_PER_CLIENT = 10_000_000
const SCRIPT = `\\set n :n + 1
insert into items values (:client_id * ${ID_PER_CLIENT} + :n, :n % 1000, 'item', 9.99, now(), repeat('x', 100));
`

/** Latencies from a commit's acknowledgement at the writer to its record at a consumer, ms. */
export interface Latency {
  readonly commits: number
  readonly p50: number
  readonly p99: number
  /** How long transactions waited for a snapshot that sees them: bounds of the histogram's buckets. */
  readonly gateP50: number
  readonly gateP99: number
}

/** Lets pgbench commit `rate` rows a second and compares its log of answers with what a consumer receives. One clock: one machine. */
export async function measureLatency(rig: Rig, rate: number): Promise<Latency> {
  await rig.client.query('truncate items')
  const { service, namespace } = await rig.connector(`latency_${rate}`)
  try {
    await rig.untilStreaming(`latency_${rate}`)
    const tail = await tailTopic(rig.kafka.brokers[0] ?? '', `${namespace}.${TOPICS.changes}`, PARTITIONS)
    const acknowledged = await commit(rig, rate)
    const arrivals = new Map<number, number>()
    const isAll = (): boolean => {
      for (const { batches, atMs } of tail.arrivals.splice(0)) {
        for (const value of valuesOf(batches)) {
          const event = decodeEvent(value)
          if (event.kind === 'change' && event.op === 'insert') arrivals.set(Number(event.after['id']), atMs)
        }
      }
      return [...acknowledged.keys()].every((id) => arrivals.has(id))
    }
    const isComplete = await pollUntil(isAll, DEADLINE_MS, 100)
    await tail.stop()
    if (!isComplete) throw new Error('some commits never reached the consumer')
    const firstMs = Math.min(...acknowledged.values())
    const waits = [...acknowledged]
      .filter(([, atMs]) => atMs > firstMs + WARM_SECONDS * 1000)
      .map(([id, atMs]) => (arrivals.get(id) ?? Number.NaN) - atMs)
      .toSorted((a, b) => a - b)
    const buckets = bucketsOf(await service.metrics(), 'lockstep_visibility_wait_seconds')
    const at = (q: number): number => waits[Math.floor(waits.length * q)] ?? Number.NaN
    const gate = { gateP50: quantileOf(buckets, 0.5) * 1000, gateP99: quantileOf(buckets, 0.99) * 1000 }
    return { commits: waits.length, p50: at(0.5), p99: at(0.99), ...gate }
  } finally {
    await service.stop()
  }
}

/** Answers when each id's commit was acknowledged, ms since the Unix epoch. */
async function commit({ postgres }: Rig, rate: number): Promise<Map<number, number>> {
  const work = mkdtempSync(join(tmpdir(), 'lockstep-pgbench-'))
  try {
    const script = join(work, 'insert.sql')
    writeFileSync(script, SCRIPT)
    const { host, port, user, password } = postgres
    const place = ['-h', host, '-p', String(port), '-U', user, 'postgres']
    const load = [
      '-n',
      '-M',
      'prepared',
      '-c',
      String(CLIENTS),
      '-R',
      String(rate),
      '-T',
      String(WARM_SECONDS + SECONDS),
    ]
    const logging = ['-l', `--log-prefix=${join(work, 'log')}`, '-D', 'n=0', '-f', script]
    const child = spawn(PGBENCH, [...load, ...logging, ...place], {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, PGPASSWORD: password },
    })
    await once(child, 'exit')
    const files = readdirSync(work).filter((file) => file.startsWith('log'))
    return new Map(files.flatMap((file) => readFileSync(join(work, file), 'utf8').split('\n').flatMap(readLine)))
  } finally {
    rmSync(work, { recursive: true })
  }
}

/** A line of the log: client, number of its transaction, latency, script, seconds, microseconds, lag. */
function readLine(line: string): [number, number][] {
  const [client, number, , , seconds, us] = line.split(' ').map(Number)
  if (client === undefined || number === undefined || seconds === undefined || us === undefined) return []
  return [[client * ID_PER_CLIENT + number, seconds * 1000 + us / 1000]]
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
