import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { machineStallPercent } from './machine-stalls.ts'
import { atLeast, atMost, type Bench, type Figure } from './bench.ts'

interface DemoLine {
  readonly commitsPerSecond: number
  readonly readsPerSecond: number
  readonly staleReads: number
  readonly maxStalenessMs: number
  readonly commitToRedisMs: { readonly p50: number; readonly p99: number }
  readonly commitToL1Ms: { readonly p50: number; readonly p99: number }
  readonly commitToEdgeMs: { readonly p50: number; readonly p99: number }
  readonly l1HitRatio: number
  readonly edgeHitRatio: number
}

const SECONDS = 20
const SPIN_MS = 5_000
const PROGRAM = fileURLToPath(new URL('../../cli/src/main.ts', import.meta.url))

/** The whole pipeline as a stranger runs it: the embedded demo for 20 seconds. */
export const demoBench: Bench = {
  versions: {},
  async run(): Promise<Figure[]> {
    const stalls = machineStallPercent(SPIN_MS)
    const child = spawn(process.execPath, [...process.execArgv, PROGRAM, 'demo', '--for', `${SECONDS}s`, '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    for await (const chunk of child.stdout) output += String(chunk)
    const line = JSON.parse(output.trim().split('\n').at(-1) ?? '{}') as DemoLine
    return [
      { name: 'machineStallPercent', value: stalls, unit: '%', target: null, met: null },
      atLeast('commitsPerSecond', line.commitsPerSecond, '1/s', 300),
      atLeast('readsPerSecond', line.readsPerSecond, '1/s', 3_000),
      atMost('staleReads', line.staleReads, 'reads', 0),
      { name: 'maxStalenessMs', value: line.maxStalenessMs, unit: 'ms', target: null, met: null },
      { name: 'commitToRedisP50Ms', value: line.commitToRedisMs.p50, unit: 'ms', target: null, met: null },
      atMost('commitToRedisP99Ms', line.commitToRedisMs.p99, 'ms', 10),
      { name: 'commitToL1P50Ms', value: line.commitToL1Ms.p50, unit: 'ms', target: null, met: null },
      atMost('commitToL1P99Ms', line.commitToL1Ms.p99, 'ms', 12),
      { name: 'commitToEdgeP50Ms', value: line.commitToEdgeMs.p50, unit: 'ms', target: null, met: null },
      atMost('commitToEdgeP99Ms', line.commitToEdgeMs.p99, 'ms', 40),
      { name: 'l1HitRatio', value: line.l1HitRatio, unit: 'share', target: null, met: null },
      { name: 'edgeHitRatio', value: line.edgeHitRatio, unit: 'share', target: null, met: null },
    ]
  },
}
