import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startRedis } from '@lockstep/servers'
import { atLeast, atMost, plain, round, type Bench, type Figure } from './bench.ts'
import { measureCommitToL1 } from './invalidator/latency.ts'
import type { Throughput } from './invalidator/throughput.ts'
import { machineStallPercent } from './machine-stalls.ts'

const PROCESS = fileURLToPath(new URL('invalidator/throughput-process.ts', import.meta.url))
const RATE = 2_000
const RUNS = 3
const SPIN_MS = 3_000

async function throughputOf(redisUrl: string): Promise<Throughput> {
  const [measured] = (await once(fork(PROCESS, [redisUrl]), 'message')) as [Throughput]
  return measured
}

/** What the invalidator bears, and how long a commit takes until the memory of every process has applied it. */
export const invalidatorBench: Bench = {
  versions: {},
  async run(): Promise<Figure[]> {
    const stalls = machineStallPercent(SPIN_MS)
    const runs = []
    for (let run = 0; run < RUNS; run++) {
      const redis = await startRedis({ needs: 'process' })
      runs.push(await throughputOf(redis.url))
      await redis.stop()
    }
    const median = runs.toSorted((a, b) => a.tagsPerSecond - b.tagsPerSecond)[Math.floor(RUNS / 2)]
    if (!median) throw new Error('nothing was measured')
    const { commits, p50, p99 } = await measureCommitToL1(RATE)
    return [
      plain('machineStallPercent', stalls, '%'),
      atLeast('tagsPerSecond', median.tagsPerSecond, '1/s', 100_000),
      plain('cpuPerTag', round(median.cpuUsPerTag, 2), 'µs'),
      plain('redisCpuPerTag', round(median.redisUsPerTag, 2), 'µs'),
      plain('commits', commits, `commits at ${RATE}/s`),
      atMost('commitToL1P50Ms', round(p50, 2), 'ms', 3),
      atMost('commitToL1P99Ms', round(p99, 2), 'ms', 10),
    ]
  },
}
