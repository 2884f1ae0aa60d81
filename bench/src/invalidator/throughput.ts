import { startInvalidator, INVALIDATOR_CONFIG } from '@lockstep/invalidator'
import { createMemoryLog, loadConfig, noMetrics, silentLogger, TOPICS } from '@lockstep/runtime'
import { clockOf, encodeEvent, parseRules, stampOf, type Change, type Lsn } from '@lockstep/schemas'
import { pollUntil } from '@lockstep/servers'
import { Redis } from 'ioredis'

const RULES = parseRules('tables:\n  public.items:\n    - tag: item:{id}\n')
const PARTITIONS = 4
const WARM_TAGS = 100_000
const TAGS = 300_000
const POLL_MS = 2
const DEADLINE_MS = 120_000

/** Fences raised in Redis per second, and what it cost. */
export interface Throughput {
  readonly tagsPerSecond: number
  /** CPU time of this process per tag, µs. */
  readonly cpuUsPerTag: number
  /** CPU time of Redis per tag, µs. */
  readonly redisUsPerTag: number
}

function changeOf(id: number): Change {
  const row = { id: String(id) }
  const xmax = BigInt(1_000 + id)
  return {
    kind: 'change',
    op: 'update',
    table: 'public.items',
    before: row,
    after: row,
    stamp: stampOf(1, clockOf({ xmin: xmax, xmax, xip: [] })),
    commitLsn: BigInt(id) as Lsn,
    index: 0,
    xid: xmax,
    commitTimeUs: BigInt(Date.now()) * 1_000n,
  }
}

async function redisCpuSeconds(redis: Redis): Promise<number> {
  const info = await redis.info('cpu')
  const of = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1])
  return of('used_cpu_user') + of('used_cpu_sys')
}

/**
 * Lets the service work off a backlog of changes, every one with a tag of its own, so that coalescing saves nothing:
 * decode, rules, fences, bus, purge commands, commit.
 */
export async function measureThroughput(redisUrl: string): Promise<Throughput> {
  const log = createMemoryLog({ partitions: { [TOPICS.changes]: PARTITIONS }, maxBacklog: Number.MAX_SAFE_INTEGER })
  const redis = new Redis(redisUrl)
  try {
    const flush = encodeEvent({ kind: 'flush', generation: 1, reason: 'bench', edge: false, partitions: PARTITIONS })
    const flushes = Array.from({ length: PARTITIONS }, (_, partition) => ({ key: null, partition, value: flush }))
    await log.produce(TOPICS.changes, flushes)
    const records = Array.from({ length: WARM_TAGS + TAGS }, (_, id) => {
      return { key: null, partition: id % PARTITIONS, value: encodeEvent(changeOf(id)) }
    })
    await log.produce(TOPICS.changes, records)
    const env = { LOCKSTEP_NAMESPACE: 'bench', LOCKSTEP_REDIS_URL: redisUrl }
    const config = loadConfig(INVALIDATOR_CONFIG, { env })
    const service = await startInvalidator(config, { log, logger: silentLogger, metrics: noMetrics, rules: RULES })
    const applied = (): number =>
      Object.values(service.status().partitions).reduce((sum, { position }) => sum + Number(position ?? 1) - 1, 0)
    const reach = async (count: number): Promise<{ at: number; applied: number; cpu: number; redis: number }> => {
      if (!(await pollUntil(() => applied() >= count, DEADLINE_MS, POLL_MS))) throw new Error('the backlog stays')
      const { user, system } = process.cpuUsage()
      return { at: performance.now(), applied: applied(), cpu: user + system, redis: await redisCpuSeconds(redis) }
    }
    const from = await reach(WARM_TAGS)
    const to = await reach(WARM_TAGS + TAGS)
    await service.stop()
    const tags = to.applied - from.applied
    return {
      tagsPerSecond: Math.round((tags / (to.at - from.at)) * 1000),
      cpuUsPerTag: (to.cpu - from.cpu) / tags,
      redisUsPerTag: ((to.redis - from.redis) * 1e6) / tags,
    }
  } finally {
    redis.disconnect()
    await log.close()
  }
}
