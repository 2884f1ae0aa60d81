/** Loads the stack and judges every read: the service `load` of compose.yaml. Prints the demo's summary as one line of JSON. */
import { API_OPTIONS, type ApiStatus } from '@lockstep/api'
import type { PurgerStatus } from '@lockstep/cdn-purger'
import { figuresOf, Load, type Gathered, type SharedLatency } from '@lockstep/cli'
import type { InvalidatorStatus } from '@lockstep/invalidator'
import { createLogger, exitCodeOf, LatencyRecorder, loadConfig, type ConfigTable } from '@lockstep/runtime'
import { setPriority } from 'node:os'
import { Type } from 'typebox'

const urls = Type.Array(Type.String({ pattern: '^https?://' }), { minItems: 1 })
const count = Type.Integer({ minimum: 1 })

const LOAD_OPTIONS = {
  databaseUrl: API_OPTIONS.databaseUrl,
  maxStalenessMs: API_OPTIONS.maxStalenessMs,
  reboundMs: API_OPTIONS.reboundMs,
  seconds: { env: 'LOCKSTEP_LOAD_SECONDS', type: count, default: 20, unit: 's', desc: 'How long to run.' },
  commits: { env: 'LOCKSTEP_LOAD_COMMITS', type: count, default: 330, unit: '1/s', desc: 'Commits.' },
  reads: { env: 'LOCKSTEP_LOAD_READS', type: count, default: 400, unit: '1/s', desc: 'Reads.' },
  edgeUrl: { env: 'LOCKSTEP_LOAD_EDGE_URL', type: Type.String(), desc: 'Where most reads go.' },
  apiUrls: { env: 'LOCKSTEP_LOAD_API_URLS', type: urls, desc: 'Where the other reads go, in turn.' },
  apiStatus: { env: 'LOCKSTEP_LOAD_API_STATUS', type: urls, desc: 'Admin ports of the API processes.' },
  invalidatorStatus: { env: 'LOCKSTEP_LOAD_INVALIDATOR_STATUS', type: urls, desc: 'Admin ports of the invalidators.' },
  purgerStatus: { env: 'LOCKSTEP_LOAD_PURGER_STATUS', type: urls, desc: 'Admin ports of the purgers.' },
} as const satisfies ConfigTable

// What seed.ts makes.
const PRODUCTS = 1_000
const CATEGORIES = 20
// Until the hot paths are compiled; latencies before that say nothing about the next hours.
const WARM_UP_MS = 4_000
const STATUS_TRIES = 60
const STATUS_PAUSE_MS = 500
const LOAD_NICENESS = 19

type Config = ReturnType<typeof loadConfig<typeof LOAD_OPTIONS>>

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Asks again while a process is being restarted. @throws the last failure after 30 s. */
async function statusOf<T>(url: string): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return (await (await fetch(`${url}/statusz`)).json()) as T
    } catch (error) {
      if (tries === STATUS_TRIES) throw error
      await pause(STATUS_PAUSE_MS)
    }
  }
}

const statusesOf = <T>(addresses: readonly string[]): Promise<T[]> =>
  Promise.all(addresses.map((url) => statusOf<T>(url)))

function merged(latencies: readonly SharedLatency[]): SharedLatency {
  const recorder = new LatencyRecorder()
  for (const { counts, max } of latencies) recorder.merge(counts, max)
  return { counts: recorder.counts(), max: recorder.summary().max }
}

/** Collects what every process has measured so far. */
async function gather(config: Config, load: Load): Promise<Gathered> {
  const apis = await statusesOf<ApiStatus>(config.apiStatus)
  const invalidators = await statusesOf<InvalidatorStatus>(config.invalidatorStatus)
  const purgers = await statusesOf<PurgerStatus>(config.purgerStatus)
  return {
    load: load.report(),
    redis: merged(invalidators.map((one) => ({ counts: one.commitToRedisCounts, max: one.commitToRedis.max }))),
    edge: merged(purgers.map((one) => ({ counts: one.commitToEdgeCounts, max: one.commitToEdge.max }))),
    l1: apis.map(({ commitToL1 }) => commitToL1),
    apis: apis.map(({ cache }) => ({
      l1Hits: cache.l1Hit,
      reads: cache.l1Hit + cache.l2Hit + cache.miss + cache.bypass,
      loads: cache.loads,
      coalesced: cache.coalesced,
    })),
  }
}

async function run(): Promise<void> {
  const config = loadConfig(LOAD_OPTIONS, { env: process.env })
  // It shares the machine with what it measures, and gives way to it.
  setPriority(LOAD_NICENESS)
  const load = new Load({
    databaseUrl: config.databaseUrl,
    apiUrls: config.apiUrls,
    edgeUrl: config.edgeUrl,
    products: PRODUCTS,
    categories: CATEGORIES,
    commitsPerSecond: config.commits,
    readsPerSecond: config.reads,
    maxStalenessMs: config.maxStalenessMs,
    // Two tiers: the contract before them, and each one's rebound.
    edgeStalenessMs: config.maxStalenessMs + 2 * config.reboundMs,
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => load.stop())
  const running = load.run()
  await Promise.race([running, pause(WARM_UP_MS)])
  const warm = await gather(config, load)
  await Promise.race([running, pause(config.seconds * 1_000)])
  load.stop()
  await running
  process.stdout.write(`${JSON.stringify(figuresOf(await gather(config, load), warm))}\n`)
}

try {
  await run()
} catch (error) {
  createLogger({ service: 'load' }).error({ err: error }, 'the load failed')
  process.exitCode = exitCodeOf(error)
}
