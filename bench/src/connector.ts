import { execFileSync } from 'node:child_process'
import { atLeast, atMost, type Bench, type Figure } from './bench.ts'
import { drainBoth, RECVLOGICAL, WORKLOADS, type Drain, type DrainRuns, type Workload } from './connector/drain.ts'
import { measureLatency, type Latency } from './connector/latency.ts'
import { openRig } from './connector/rig.ts'
import { PGBENCH } from './pgbench.ts'

const ROUNDS = 3
/** Commits per second. */
const RATES = [500, 2_000]
const MIN_RATIO: Readonly<Record<Workload['name'], number>> = { single: 1.4, hundred: 1.2, million: 1.2 }
const LABEL: Readonly<Record<Workload['name'], string>> = { single: 'Single', hundred: 'Hundred', million: 'Million' }

/** How fast the connector drains a backlog into Kafka, beside `pg_recvlogical` to /dev/null on the same slot contents. */
export const connectorBench: Bench = {
  versions: { pg_recvlogical: versionOf(RECVLOGICAL), pgbench: versionOf(PGBENCH), postgres: '18', kafka: '4.3.1' },
  async run(): Promise<Figure[]> {
    const rig = await openRig()
    const runs = new Map<Workload['name'], DrainRuns>()
    const latencies = new Map<number, Latency>()
    try {
      for (const workload of WORKLOADS) runs.set(workload.name, await drainBoth(rig, workload, ROUNDS))
      for (const rate of RATES) latencies.set(rate, await measureLatency(rig, rate))
    } finally {
      await rig.close()
    }
    const figures = [...runs].flatMap(([name, each]) => drainFigures(name, each))
    const cpu = medianOf(runs.get('hundred')?.ours ?? [], (drain) => drain.cpuSecondsPerMillionRows)
    figures.push(atMost('cpuSecondsPerMillionRows', round(cpu, 2), 's', 7.5))
    const rss = Math.max(...[...runs.values()].flatMap(({ ours }) => ours.map((drain) => drain.rssPeakMb)))
    figures.push(atMost('rssPeakMb', round(rss, 0), 'MB', 200))
    figures.push(atMost('rssLogAwayMb', round(runs.get('hundred')?.rssLogAwayMb ?? Number.NaN, 0), 'MB', 200))
    return [...figures, ...[...latencies].flatMap(([rate, latency]) => latencyFigures(rate, latency))]
  },
}

function latencyFigures(rate: number, { p50, p99, gateP50, gateP99 }: Latency): Figure[] {
  const gate = (name: string, value: number): Figure => {
    return { name: `gate${rate}${name}Ms`, value: round(value, 2), unit: 'ms', target: null, met: null }
  }
  return [
    atMost(`latency${rate}P50Ms`, round(p50, 2), 'ms', 1.2),
    atMost(`latency${rate}P99Ms`, round(p99, 2), 'ms', 5),
    gate('P50', gateP50),
    gate('P99', gateP99),
  ]
}

function drainFigures(name: Workload['name'], { ours, rawRowsPerSecond }: DrainRuns): Figure[] {
  const our = medianOf(ours, (drain: Drain) => drain.rowsPerSecond)
  const raw = medianOf(rawRowsPerSecond, (rate) => rate)
  const plain = (figure: string, value: number): Figure => {
    return { name: figure, value: round(value, 0), unit: 'rows/s', target: null, met: null }
  }
  return [
    plain(`drain${LABEL[name]}RowsPerSecond`, our),
    plain(`recvlogical${LABEL[name]}RowsPerSecond`, raw),
    atLeast(`drain${LABEL[name]}Ratio`, round(our / raw, 2), 'x', MIN_RATIO[name]),
  ]
}

function medianOf<T>(items: readonly T[], of: (item: T) => number): number {
  const sorted = items.map(of).toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

/** First line of `PROGRAM --version`, or why there is none. */
function versionOf(program: string): string {
  try {
    return /[\d.]+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown'
  } catch {
    return 'not installed'
  }
}
