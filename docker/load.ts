/**
 * Loads the stack and judges every read: the service `load` of compose.yaml. Prints a line for each request that fails and, at the
 * end, the demo's summary as one line of JSON.
 */
import { API_OPTIONS, type ApiStatus } from '@lockstep/api'
import type { PurgerStatus } from '@lockstep/cdn-purger'
import { figuresOf, Load, type Gathered, type LoadOptions, type SharedLatency } from '@lockstep/cli'
import type { InvalidatorStatus } from '@lockstep/invalidator'
import { createLogger, exitCodeOf, LatencyRecorder, loadConfig, type ConfigTable } from '@lockstep/runtime'
import { setPriority } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { Type } from 'typebox'

const urls = Type.Array(Type.String({ pattern: '^https?://' }), { minItems: 1 })
const count = Type.Integer({ minimum: 1 })

const LOAD_OPTIONS = {
  databaseUrl: API_OPTIONS.databaseUrl,
  maxStalenessMs: API_OPTIONS.maxStalenessMs,
  edgeStalenessMs: {
    env: 'LOCKSTEP_LOAD_EDGE_STALENESS_MS',
    type: count,
    // The contract before two tiers, and each one's rebound.
    default: 9_000,
    unit: 'ms',
    desc: 'What the edge is judged by: while the pipeline is whole far less than the lifetime of a response.',
  },
  seconds: { env: 'LOCKSTEP_LOAD_SECONDS', type: count, default: 20, unit: 's', desc: 'How long to run.' },
  commits: { env: 'LOCKSTEP_LOAD_COMMITS', type: count, default: 330, unit: '1/s', desc: 'Commits.' },
  reads: { env: 'LOCKSTEP_LOAD_READS', type: count, default: 400, unit: '1/s', desc: 'Reads.' },
  tells: {
    env: 'LOCKSTEP_LOAD_TELLS',
    type: Type.Boolean(),
    default: false,
    desc: 'Whether a line a second says how old the oldest answers were.',
  },
  edgeUrl: { env: 'LOCKSTEP_LOAD_EDGE_URL', type: Type.String(), desc: 'Where most reads go.' },
  writeUrl: {
    env: 'LOCKSTEP_LOAD_WRITE_URL',
    type: Type.String(),
    default: '',
    desc: 'Where a quarter of the changes goes as requests; empty: all of them go to the database itself.',
  },
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
const TELL_MS = 1_000
const STATUS_TRIES = 60
const STATUS_PAUSE_MS = 500
const LOAD_NICENESS = 19

type Config = ReturnType<typeof loadConfig<typeof LOAD_OPTIONS>>

// What is over before its time ends the process.
const pause = (ms: number) => setTimeout(ms, undefined, { ref: false })

/** Asks again while a process is being restarted. @throws the last failure after 30 s. */
async function statusOf<T>(url: string): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return (await (await fetch(`${url}/statusz`)).json()) as T
    } catch (error) {
      if (tries === STATUS_TRIES) throw error
      await setTimeout(STATUS_PAUSE_MS)
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

const log = createLogger({ service: 'load' })

async function run(): Promise<void> {
  const config = loadConfig(LOAD_OPTIONS, { env: process.env })
  // It shares the machine with what it measures, and gives way to it.
  setPriority(LOAD_NICENESS)
  const options: LoadOptions = {
    databaseUrl: config.databaseUrl,
    apiUrls: config.apiUrls,
    edgeUrl: config.edgeUrl,
    writeUrl: config.writeUrl === '' ? undefined : config.writeUrl,
    products: PRODUCTS,
    categories: CATEGORIES,
    commitsPerSecond: config.commits,
    readsPerSecond: config.reads,
    maxStalenessMs: config.maxStalenessMs,
    edgeStalenessMs: config.edgeStalenessMs,
  }
  const load = new Load(options, (path, why) => log.warn({ path, why }, 'a request failed'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => load.stop())
  const telling = config.tells && setInterval(() => log.info(load.oldest(), 'oldest answers'), TELL_MS)
  const running = load.run()
  await Promise.race([running, pause(WARM_UP_MS)])
  const warm = await gather(config, load)
  await Promise.race([running, pause(config.seconds * 1_000)])
  load.stop()
  await running
  if (telling) clearInterval(telling)
  process.stdout.write(`${JSON.stringify(figuresOf(await gather(config, load), warm))}\n`)
}

try {
  await run()
} catch (error) {
  log.error({ err: error }, 'the load failed')
  process.exitCode = exitCodeOf(error)
}
