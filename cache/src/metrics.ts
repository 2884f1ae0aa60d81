import type { Cache, CacheStats } from './types.ts'

/** One instrument of the library. */
export interface CacheMetric {
  readonly name: string
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly labels: readonly string[]
  /** Label text → counter; the labels are closed: layer and outcome, or reason. */
  readonly values: (cache: Cache, stats: CacheStats) => Readonly<Record<string, number>>
}

const READS = 'layer="l1",outcome='

/** Every instrument of the library. */
export const CACHE_METRICS: readonly CacheMetric[] = [
  {
    name: 'lockstep_cache_requests_total',
    help: 'Reads through the cache, by layer and outcome.',
    kind: 'counter',
    labels: ['layer', 'outcome'],
    values: (_, stats) => ({
      [`${READS}"hit"`]: stats.l1Hit,
      [`${READS}"coalesced"`]: stats.coalesced,
      [`${READS}"stale"`]: stats.stale,
      'layer="redis",outcome="hit"': stats.l2Hit,
      'layer="redis",outcome="miss"': stats.miss,
      'layer="redis",outcome="bypass"': stats.bypass,
      'layer="database",outcome="load"': stats.loads,
      'layer="database",outcome="failed"': stats.loadFailed,
      'layer="database",outcome="refused"': stats.overloaded,
    }),
  },
  {
    name: 'lockstep_cache_refreshes_total',
    help: 'Loads begun behind the backs of readers.',
    kind: 'counter',
    labels: [],
    values: (_, stats) => ({ '': stats.refreshes }),
  },
  {
    name: 'lockstep_cache_fills_total',
    help: 'Loaded values by whether Redis took them; a fence, a lost lease or an eviction keeps some out.',
    kind: 'counter',
    labels: ['outcome'],
    values: (_, stats) => ({ 'outcome="stored"': stats.stored, 'outcome="rejected"': stats.rejected }),
  },
  {
    name: 'lockstep_cache_evicted_total',
    help: 'Values that fences removed from L1.',
    kind: 'counter',
    labels: [],
    values: (_, stats) => ({ '': stats.evicted }),
  },
  {
    name: 'lockstep_cache_flushes_total',
    help: 'Times everything local was forgotten: a gap of the bus, or a new generation.',
    kind: 'counter',
    labels: [],
    values: (_, stats) => ({ '': stats.flushes }),
  },
  {
    name: 'lockstep_cache_redis_errors_total',
    help: 'Redis commands of the cache that failed.',
    kind: 'counter',
    labels: [],
    values: (_, stats) => ({ '': stats.redisErrors }),
  },
  {
    name: 'lockstep_cache_freshness_age_seconds',
    help: 'Age of what the cache has applied; NaN while nothing vouches for it.',
    kind: 'gauge',
    labels: [],
    values: (cache) => ({ '': (cache.freshnessAgeMs() ?? Number.NaN) / 1000 }),
  },
  {
    name: 'lockstep_cache_l1_bytes',
    help: 'Size of the in-process cache.',
    kind: 'gauge',
    labels: [],
    values: (_, stats) => ({ '': stats.l1Bytes }),
  },
  {
    name: 'lockstep_cache_l1_entries',
    help: 'Values in the in-process cache.',
    kind: 'gauge',
    labels: [],
    values: (_, stats) => ({ '': stats.l1Entries }),
  },
  {
    name: 'lockstep_cache_info',
    help: '1, labelled by who tells the layers of changes.',
    kind: 'gauge',
    labels: ['coherence'],
    values: (cache) => ({ [`coherence="${cache.coherence}"`]: 1 }),
  },
]

/** Writes the cache's instruments in Prometheus' text format, for a /metrics of the application's own. */
export function prometheusText(cache: Cache): string {
  const stats = cache.stats()
  return CACHE_METRICS.map(({ name, help, kind, values }) => {
    const lines = Object.entries(values(cache, stats)).map(
      ([labels, value]) => `${name}${labels === '' ? '' : `{${labels}}`} ${value}\n`,
    )
    return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join('')}`
  }).join('')
}
