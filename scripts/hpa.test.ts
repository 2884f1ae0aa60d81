import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { Hpa, type HpaSpec, type Observed } from './hpa.ts'
import { readManifests } from './kustomize.ts'

/** One second of one replica, as itest/observability/record-load.ts recorded it. */
interface Sample {
  readonly requestsPerSecond: number
  readonly p99Seconds: number
  readonly cpuCores: number
  readonly poolWaiting: number
}

const at = (path: string): string => join(import.meta.dirname, '../deploy/k8s', path)
const recorded = JSON.parse(readFileSync(at('testing/recorded-load.json'), 'utf8')) as {
  readonly step: readonly Sample[]
  readonly poolBound: readonly Sample[]
}
const [manifest] = readManifests(at('components/autoscaling/api-hpa.yaml'))
const spec = manifest?.['spec'] as HpaSpec
const RPS = 'lockstep_http_requests_per_second'
const P99 = 'lockstep_http_p99_seconds'

const STEP_AT = 15
const SYNC_SECONDS = 15
// The adapter's windows, and how old its newest sample can be: a scrape every 5 s and its own refresh.
const RPS_WINDOW = 30
const P99_WINDOW = 60
const DELAY_SECONDS = 10
// Until a new replica answers and reports.
const START_SECONDS = 10

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The recording, stretched: what lies before it is its calm, and its last seconds go on, noise and all. */
function secondOf(samples: readonly Sample[], second: number): Sample {
  const index = second < 0 ? (second % STEP_AT) + STEP_AT - 1 : second
  const tail = 10
  const known = index < samples.length ? index : samples.length - tail + ((index - samples.length) % tail)
  return samples[known] as Sample
}

interface Play {
  readonly samples: (second: number) => Sample
  readonly seconds: number
  /** One recorded replica stands for so many requests more. */
  readonly scale: number
  /** What the adapter's p99 query does with the pool. */
  readonly poolGuard?: boolean
}

/** Plays the load through the manifest; answers the replicas after each sync. */
function play({ samples, seconds, scale, poolGuard = true }: Play): { second: number; replicas: number }[] {
  const hpa = new Hpa(spec, spec.minReplicas)
  const replicasAt: number[] = []
  const history: { second: number; replicas: number }[] = []
  const window = (end: number, length: number) => Array.from({ length }, (_, index) => samples(end - index))
  for (let second = 0; second < seconds; second++) {
    if (second % SYNC_SECONDS === 0) {
      const end = second - DELAY_SECONDS
      const ready = Math.min(hpa.replicas, replicasAt[second - START_SECONDS] ?? spec.minReplicas)
      const total = scale * mean(window(end, RPS_WINDOW).map(({ requestsPerSecond }) => requestsPerSecond))
      const waiting = mean(window(end, P99_WINDOW).map(({ poolWaiting }) => poolWaiting))
      const p99 = mean(window(end, P99_WINDOW).map(({ p99Seconds }) => p99Seconds))
      const observed: Observed = { [RPS]: total / ready, [P99]: poolGuard && waiting >= 1 ? 0 : p99 }
      history.push({ second, replicas: hpa.sync(second * 1_000, ready, observed) })
    }
    replicasAt[second] = hpa.replicas
  }
  return history
}

const calm = mean(recorded.step.slice(0, STEP_AT - 1).map(({ requestsPerSecond }) => requestsPerSecond))
const high = mean(recorded.step.slice(-10).map(({ requestsPerSecond }) => requestsPerSecond))
// At the calm of the recording the least number of replicas is 80 % busy.
const scale = (0.8 * 1_000 * spec.minReplicas) / calm
const needed = Math.ceil((scale * high) / 1_000)
const turnsOf = (history: readonly { replicas: number }[]): number => {
  const moves = history.slice(1).map(({ replicas }, index) => Math.sign(replicas - (history[index]?.replicas ?? 0)))
  const steps = moves.filter((move) => move !== 0)
  return steps.slice(1).filter((move, index) => move !== steps[index]).length
}

describe('deploy/k8s: the API scales', () => {
  test('the recording is what it says: five times the load; and a pool that is waited for by idle processors', () => {
    expect(high / calm).toBeGreaterThan(4.5)
    const bound = recorded.poolBound.slice(-15)
    expect(mean(bound.map(({ poolWaiting }) => poolWaiting))).toBeGreaterThan(1)
    expect(mean(bound.map(({ cpuCores }) => cpuCores))).toBeLessThan(0.8)
  })

  test('to what five times the load needs within 60 s of the step', () => {
    const history = play({ samples: (second) => secondOf(recorded.step, second), seconds: 180, scale })
    const before = history.filter(({ second }) => second <= STEP_AT)
    const within = history.filter(({ second }) => second <= STEP_AT + 60).at(-1)
    expect(before.map(({ replicas }) => replicas)).toEqual(before.map(() => spec.minReplicas))
    expect(within?.replicas).toBeGreaterThanOrEqual(needed)
  })

  test('without flapping: up once and no further than a fifth too far, through half an hour of recorded noise', () => {
    const history = play({ samples: (second) => secondOf(recorded.step, second), seconds: 1_800, scale })
    expect(turnsOf(history)).toBeLessThanOrEqual(1)
    expect(Math.max(...history.map(({ replicas }) => replicas))).toBeLessThanOrEqual(Math.ceil(needed * 1.2))
    expect(history.at(-1)?.replicas).toBeGreaterThanOrEqual(needed)
  })

  test('down only after five calm minutes, and then in steps, never back up', () => {
    const fall = 300
    const samples = (second: number) => secondOf(recorded.step, second < fall ? second : (second % 10) - STEP_AT)
    const history = play({ samples, seconds: 2_700, scale })
    const least = history.find(({ second, replicas }) => second > fall && replicas < needed)
    expect(least?.second).toBeGreaterThanOrEqual(fall + 300)
    expect(turnsOf(history)).toBe(1)
    expect(history.at(-1)?.replicas).toBeLessThanOrEqual(spec.minReplicas + 1)
  })

  test('not at all while requests wait for the database pool, slow as they are', () => {
    const slow = (second: number) => secondOf(recorded.poolBound, Math.max(0, second))
    const load = { samples: slow, seconds: 600, scale: scale / 2 }
    expect(play(load).map(({ replicas }) => replicas)).toEqual(play(load).map(() => spec.minReplicas))
    const unguarded = play({ ...load, poolGuard: false })
    expect(Math.max(...unguarded.map(({ replicas }) => replicas))).toBe(spec.maxReplicas)
  })

  test('on metrics that the adapter makes from series the API exports, and on no processor time', () => {
    const [adapter] = readManifests(at('components/autoscaling/prometheus-adapter.yaml'))
    const { rules, externalRules } = parse(String(adapter?.['data']['config.yaml'])) as Record<
      'rules' | 'externalRules',
      { name: { as: string }; metricsQuery: string }[]
    >
    const made = [...rules, ...externalRules].map(({ name }) => name.as)
    const asked = spec.metrics.map(({ pods, external }) => (pods ?? external)?.metric.name)
    expect(asked).toEqual(made)
    expect(JSON.stringify(spec)).not.toContain('cpu')
    for (const { metricsQuery } of [...rules, ...externalRules]) {
      const query = metricsQuery
        .replaceAll('<<.Series>>', 'lockstep_http_request_duration_seconds_bucket')
        .replaceAll('<<.LabelMatchers>>', 'namespace="lockstep"')
        .replaceAll('<<.GroupBy>>', 'pod')
      const errors: number[] = []
      parser.parse(query).iterate({ enter: (node) => void (node.type.isError && errors.push(node.from)) })
      expect(errors).toEqual([])
    }
  })
})
