import { LatencyRecorder } from '@lockstep/runtime'
import type { LoadReport } from './load.ts'

/** A recorder as `/statusz` carries it, so that several processes' recorders merge exactly. */
export interface SharedLatency {
  readonly counts: Readonly<Record<string, number>>
  readonly max: number
}

/** What was recorded since `earlier`; the greatest value of that time alone is not known. */
function latencySince(later: SharedLatency, earlier: SharedLatency | undefined): SharedLatency {
  const counts = Object.entries(later.counts).map(
    ([bucket, count]) => [bucket, count - (earlier?.counts[bucket] ?? 0)] as const,
  )
  return { counts: Object.fromEntries(counts.filter(([, count]) => count > 0)), max: later.max }
}

/** What the demo has gathered from every process. */
export interface Gathered {
  readonly load: LoadReport
  readonly redis: SharedLatency
  readonly l1: readonly SharedLatency[]
  readonly edge: SharedLatency
  readonly apis: readonly ApiCounts[]
}

/** Counters of one API process. */
export interface ApiCounts {
  readonly l1Hits: number
  readonly reads: number
  readonly loads: number
  readonly coalesced: number
}

interface Quantiles {
  readonly p50: number
  readonly p99: number
}

/** The one JSON line of `npm run demo -- --json`: counts since the start, milliseconds, shares 0…1. */
export interface DemoFigures {
  readonly seconds: number
  readonly commits: number
  readonly commitsPerSecond: number
  readonly reads: number
  readonly readsPerSecond: number
  readonly readMs: Quantiles
  readonly readErrors: number
  readonly writeErrors: number
  readonly reconnects: number
  readonly staleReads: number
  readonly maxStalenessMs: number
  readonly apiMaxStalenessMs: number
  readonly commitToRedisMs: Quantiles
  readonly commitToL1Ms: Quantiles
  readonly commitToEdgeMs: Quantiles
  readonly l1HitRatio: number
  readonly edgeHitRatio: number
  readonly loads: number
  readonly coalesced: number
}

const round = (value: number, digits = 2): number => Number(value.toFixed(digits))
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : round(part / whole, 4))

function quantiles(latencies: readonly SharedLatency[]): Quantiles {
  const merged = new LatencyRecorder()
  for (const { counts, max } of latencies) merged.merge(counts, max)
  return { p50: round(merged.quantile(0.5)), p99: round(merged.quantile(0.99)) }
}

/**
 * Turns what was gathered into the figures the demo prints. Rates and latencies are those since `warm`, when the processes
 * had compiled their code; everything else, stale reads above all, counts from the start.
 */
export function figuresOf({ load, redis, l1, edge, apis }: Gathered, warm?: Gathered): DemoFigures {
  const { commits = 0, reads = 0, elapsedMs = 0 } = warm?.load ?? {}
  const seconds = (load.elapsedMs - elapsedMs) / 1000
  return {
    seconds: round(load.elapsedMs / 1000, 1),
    commits: load.commits,
    commitsPerSecond: Math.round((load.commits - commits) / seconds),
    reads: load.reads,
    readsPerSecond: Math.round((load.reads - reads) / seconds),
    readMs: { p50: round(load.readMs.p50), p99: round(load.readMs.p99) },
    readErrors: load.errors,
    writeErrors: load.writeErrors,
    reconnects: load.reconnects,
    staleReads: load.staleReads,
    maxStalenessMs: round(load.maxStalenessMs, 1),
    apiMaxStalenessMs: round(load.apiMaxStalenessMs, 1),
    commitToRedisMs: quantiles([latencySince(redis, warm?.redis)]),
    commitToL1Ms: quantiles(l1.map((latency, index) => latencySince(latency, warm?.l1[index]))),
    commitToEdgeMs: quantiles([latencySince(edge, warm?.edge)]),
    l1HitRatio: ratio(sum(apis.map((api) => api.l1Hits)), sum(apis.map((api) => api.reads))),
    edgeHitRatio: ratio(load.edgeHits, load.edgeReads),
    loads: sum(apis.map((api) => api.loads)),
    coalesced: sum(apis.map((api) => api.coalesced)),
  }
}
