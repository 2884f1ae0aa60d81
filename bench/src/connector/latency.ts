import { TOPICS } from '@lockstep/runtime'
import { decodeEvent } from '@lockstep/schemas'
import { pollUntil } from '@lockstep/servers'
import { commitItems } from '../pgbench.ts'
import type { Rig } from './rig.ts'
import { tailTopic, valuesOf } from './tail.ts'

// The broker's and the connector's compilers are at work for about that long.
const WARM_SECONDS = 10
const SECONDS = 15
const DEADLINE_MS = 30_000
// As the connector makes them.
const PARTITIONS = 4

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
    const acknowledged = await commitItems(rig.postgres, { rate, seconds: WARM_SECONDS + SECONDS })
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
