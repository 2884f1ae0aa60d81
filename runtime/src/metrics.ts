import { Counter as PromCounter, Gauge as PromGauge, Registry, collectDefaultMetrics } from 'prom-client'
import { defineErrors } from './errors.ts'
import { BucketHistogram } from './histogram.ts'

/** Label values of one observation; the names are a closed set declared with the instrument. */
export type Labels = Readonly<Record<string, string>>

/** Only grows. */
export interface Counter {
  /** Adds `value` (default 1). */
  inc(labels?: Labels, value?: number): void
}
/** Goes up and down. */
export interface Gauge {
  set(value: number, labels?: Labels): void
}
/** Counts observations by bucket. */
export interface Histogram {
  /** Base units only: seconds or bytes. */
  observe(value: number, labels?: Labels): void
  /** Resolves the labels once, for what every request observes. */
  with(labels: Labels): (value: number) => void
}

/** Declares instruments once per room; the same declaration again answers the same instrument. */
export interface MetricsRegistry {
  counter(name: string, help: string, labels?: readonly string[]): Counter
  gauge(name: string, help: string, labels?: readonly string[]): Gauge
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): Histogram
  /** Everything in Prometheus' text format. */
  text(): Promise<string>
}

/** Seconds from a commit to an eviction: single-digit milliseconds are the aim, minutes are an outage. */
export const EVICTION_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300,
] as const

/** Declares the headline histogram, the same in every process that evicts: label `layer` is redis, l1 or cdn. */
export function evictionHistogram(registry: MetricsRegistry): Histogram {
  const help = 'Time from a commit, by the clock of Postgres, until a layer no longer serves the old value.'
  return registry.histogram('lockstep_commit_to_evict_seconds', help, EVICTION_BUCKETS, ['layer'])
}

const NAME = /^lockstep_[a-z0-9]+(_[a-z0-9]+)*$/

/** Mistakes in the declaration of an instrument: found at start, mended in the code. */
export const METRIC_ERRORS = {
  LOCKSTEP_MET_NAME: {
    disposition: 'fatal',
    message: 'the metric {name} has a bad name or no help',
    remedy: 'Name it lockstep_<area>_<noun>_<unit> in lower case and say in a sentence what it tells.',
  },
  LOCKSTEP_MET_CONFLICT: {
    disposition: 'fatal',
    message: 'the metric {name} is declared twice in different ways',
    remedy: 'Declare it once per room, with one kind, help, label set and bucket list.',
  },
} as const

const fail = defineErrors('runtime', METRIC_ERRORS)

/** One instrument as declared. */
export interface MetricRow {
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Empty unless a histogram. */
  readonly buckets: readonly number[]
}

type Declare = <T>(row: MetricRow, make: () => T) => T

/** Answers the known instrument for an equal declaration. */
function declareOnce(): Declare {
  const known = new Map<string, { readonly declared: string; readonly instrument: unknown }>()
  return <T>(row: MetricRow, make: () => T): T => {
    const { name, help } = row
    if (!NAME.test(name) || help === '') throw fail('LOCKSTEP_MET_NAME', { name })
    const declared = JSON.stringify(row)
    const before = known.get(name)
    if (before && before.declared !== declared) throw fail('LOCKSTEP_MET_CONFLICT', { name })
    const instrument = before ? before.instrument : make()
    known.set(name, { declared, instrument })
    return instrument as T
  }
}

/**
 * Makes a registry on prom-client, with Node's default metrics; histograms are our own.
 * Declaring throws LockstepError LOCKSTEP_MET_NAME or LOCKSTEP_MET_CONFLICT.
 */
export function createMetrics(): MetricsRegistry {
  const registry = new Registry()
  const registers = [registry]
  const histograms: BucketHistogram[] = []
  collectDefaultMetrics({ register: registry })
  const declare = declareOnce()
  return {
    counter: (name, help, labels = []) =>
      declare({ name, kind: 'counter', help, labels, buckets: [] }, () => {
        const made = new PromCounter({ name, help, labelNames: labels, registers })
        return { inc: (values: Labels = {}, value = 1) => made.inc({ ...values }, value) }
      }),
    gauge: (name, help, labels = []) =>
      declare({ name, kind: 'gauge', help, labels, buckets: [] }, () => {
        const made = new PromGauge({ name, help, labelNames: labels, registers })
        return { set: (value: number, values: Labels = {}) => made.set({ ...values }, value) }
      }),
    histogram: (name, help, buckets, labels = []) =>
      declare({ name, kind: 'histogram', help, labels, buckets }, () => {
        const made = new BucketHistogram(name, help, buckets, labels)
        histograms.push(made)
        return made
      }),
    text: async () => (await registry.metrics()) + histograms.map((histogram) => histogram.text()).join(''),
  }
}

/** Lists what a room's declarations make, in their order, for the generated reference. */
export function describeMetrics(room: (metrics: MetricsRegistry) => unknown): MetricRow[] {
  const rows: MetricRow[] = []
  const once = declareOnce()
  const declare: Declare = (row, make) =>
    once(row, () => {
      rows.push(row)
      return make()
    })
  room({
    counter: (name, help, labels = []) =>
      declare({ name, kind: 'counter', help, labels, buckets: [] }, () => ({ inc: nothing })),
    gauge: (name, help, labels = []) =>
      declare({ name, kind: 'gauge', help, labels, buckets: [] }, () => ({ set: nothing })),
    histogram: (name, help, buckets, labels = []) =>
      declare({ name, kind: 'histogram', help, labels, buckets }, () => NO_HISTOGRAM),
    text: () => Promise.resolve(''),
  })
  return rows
}

const nothing = (): void => undefined
const NO_HISTOGRAM: Histogram = { observe: nothing, with: () => nothing }

/** Counts nothing: for tests and tools. */
export const noMetrics: MetricsRegistry = {
  counter: () => ({ inc: nothing }),
  gauge: () => ({ set: nothing }),
  histogram: () => NO_HISTOGRAM,
  text: () => Promise.resolve(''),
}
