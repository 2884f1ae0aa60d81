import { execFileSync } from 'node:child_process'
import { atLeast, atMost, median, onRig, plain, round, runParts, type Bench, type Figure } from './bench.ts'
import { drainBoth, RECVLOGICAL, WORKLOADS, type DrainRuns, type Workload } from './connector/drain.ts'
import { measureLatency, measurePlain, warmBroker, type ConnectorLatency, type Latency } from './connector/latency.ts'
import { openRig, type Rig } from './connector/rig.ts'
import { machineStallPercent } from './machine-stalls.ts'
import { PGBENCH } from './pgbench.ts'

const ROUNDS = 3
const SPIN_MS = 3_000
/** Commits per second. */
const RATES = [500, 2_000]
const MIN_RATIO: Readonly<Record<Workload['name'], number>> = { single: 1.4, hundred: 1.2, million: 1.2 }
const LABEL: Readonly<Record<Workload['name'], string>> = { single: 'Single', hundred: 'Hundred', million: 'Million' }

type Drains = ReadonlyMap<Workload['name'], DrainRuns>

/** How fast the connector drains a backlog into Kafka, beside `pg_recvlogical` to /dev/null on the same slot contents. */
async function drains(rig: Rig): Promise<Figure[]> {
  const runs = new Map<Workload['name'], DrainRuns>()
  for (const workload of WORKLOADS) runs.set(workload.name, await drainBoth(rig, workload, ROUNDS))
  const hundred = runs.get('hundred')
  const cpu = median((hundred?.ours ?? []).map((drain) => drain.cpuSecondsPerMillionRows))
  return [
    ...[...runs].flatMap(([name, each]) => drainFigures(name, each)),
    atMost('cpuSecondsPerMillionRows', round(cpu, 2), 's', 7.5),
    atMost('rssPeakMb', round(rssPeakMb(runs), 0), 'MB', 200),
    atMost('rssLogAwayMb', round(hundred?.rssLogAwayMb ?? Number.NaN, 0), 'MB', 200),
  ]
}

const rssPeakMb = (runs: Drains): number =>
  Math.max(...[...runs.values()].flatMap(({ ours }) => ours.map((drain) => drain.rssPeakMb)))

/** What a commit takes to a consumer through the connector, and through a plain script in its place. */
async function latencies(rig: Rig): Promise<Figure[]> {
  const figures: Figure[] = [plain('machineStallPercent', machineStallPercent(SPIN_MS), '%')]
  await warmBroker(rig, Math.max(...RATES))
  for (const rate of RATES) {
    const ours = await measureLatency(rig, rate)
    figures.push(...latencyFigures(rate, ours, await measurePlain(rig, rate)))
  }
  return figures
}

/** The connector's throughput and latency, each on servers of its own. */
export const connectorBench: Bench = {
  versions: { pg_recvlogical: versionOf(RECVLOGICAL), pgbench: versionOf(PGBENCH), postgres: '18', kafka: '4.3.1' },
  run: () => runParts({ drains: onRig(openRig, drains), latencies: onRig(openRig, latencies) }),
}

function latencyFigures(rate: number, ours: ConnectorLatency, script: Latency): Figure[] {
  return [
    atMost(`latency${rate}P50Ms`, round(ours.p50, 2), 'ms', 1.2),
    atMost(`latency${rate}P99Ms`, round(ours.p99, 2), 'ms', 5),
    plain(`gate${rate}P50Ms`, round(ours.gateP50, 2), 'ms'),
    plain(`gate${rate}P99Ms`, round(ours.gateP99, 2), 'ms'),
    plain(`plain${rate}P50Ms`, round(script.p50, 2), 'ms'),
    plain(`plain${rate}P99Ms`, round(script.p99, 2), 'ms'),
    plain(`latency${rate}P99ToPlain`, round(ours.p99 / script.p99, 2), 'x'),
  ]
}

function drainFigures(name: Workload['name'], { ours, rawRowsPerSecond }: DrainRuns): Figure[] {
  const our = median(ours.map((drain) => drain.rowsPerSecond))
  const raw = median(rawRowsPerSecond)
  return [
    plain(`drain${LABEL[name]}RowsPerSecond`, round(our, 0), 'rows/s'),
    plain(`recvlogical${LABEL[name]}RowsPerSecond`, round(raw, 0), 'rows/s'),
    atLeast(`drain${LABEL[name]}Ratio`, round(our / raw, 2), 'x', MIN_RATIO[name]),
  ]
}

/** First line of `PROGRAM --version`, or why there is none. */
function versionOf(program: string): string {
  try {
    return /[\d.]+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown'
  } catch {
    return 'not installed'
  }
}
