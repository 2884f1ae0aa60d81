import { execFileSync } from 'node:child_process'
import { findVarnish } from '@lockstep/servers'
import { atLeast, atMost, plain, round, type Bench, type Figure } from './bench.ts'
import { machineStallPercent } from './machine-stalls.ts'
import { measureDrain } from './purger/drain.ts'
import { measureCommitToEdge } from './purger/latency.ts'
import { measureRate, PLANS } from './purger/rates.ts'

const LATENCY_SECONDS = 20
const DRAIN_KEYS = 1_000_000
const DRAINS = 3
const RATE_SECONDS = 60
const STALL_MS = 3_000

/** Commits to two Varnish tiers, a storm of keys into one, and how much of two vendors' rates the purger uses. */
export const purgerBench: Bench = {
  versions: { varnishd: versionOfVarnish() },
  async run(): Promise<Figure[]> {
    const stalls = machineStallPercent(STALL_MS)
    const edge = await measureCommitToEdge(LATENCY_SECONDS)
    const drains = []
    for (let round = 0; round < DRAINS; round++) drains.push(await measureDrain(DRAIN_KEYS))
    const [fastly, cloudflare] = await Promise.all([
      measureRate(PLANS.fastly, RATE_SECONDS),
      measureRate(PLANS.cloudflare, RATE_SECONDS),
    ])
    const median = drains.toSorted((a, b) => a.keysPerSecond - b.keysPerSecond)[DRAINS >> 1]
    return [
      plain('machineStallPercent', stalls, '%'),
      atMost('commitToEdgeP50Ms', round(edge.p50, 2), 'ms', 8),
      atMost('commitToEdgeP99Ms', round(edge.p99, 2), 'ms', 30),
      atMost('commitsLost', edge.lost, 'commits', 0),
      atLeast('varnishKeysPerSecond', round(median?.keysPerSecond ?? 0, 0), 'keys/s', 100_000),
      plain('cpuSecondsPerMillionKeys', round(median?.cpuSecondsPerMillion ?? 0, 2), 's'),
      atMost('keysNotEvicted', Math.max(...drains.map(({ left }) => left)), 'keys', 0),
      atLeast('fastlyRateShare', round(fastly.share, 4), 'share', 0.98),
      atMost('fastly429', fastly.throttled, 'answers', 0),
      atLeast('cloudflareRateShare', round(cloudflare.share, 4), 'share', 0.98),
      atMost('cloudflare429', cloudflare.throttled, 'answers', 0),
    ]
  },
}

function versionOfVarnish(): string {
  const program = findVarnish()
  if (program === undefined) return 'not installed'
  // It writes its version to standard error.
  return (
    /varnish-([\d.]+)/.exec(execFileSync('sh', ['-c', `${program} -V 2>&1`], { encoding: 'utf8' }))?.[1] ?? 'unknown'
  )
}
