import { API_OPTIONS, seedShop } from '@lockstep/api'
import { type Logger, type MetricsRegistry } from '@lockstep/runtime'
import { freePort, startPostgres, startRedis } from '@lockstep/servers'
import { fileURLToPath } from 'node:url'
import { startEdge, type Edge } from '../embedded/edge.ts'
import { startPipeline, type Pipeline } from '../embedded/pipeline.ts'
import { readRules } from '../embedded/rules-file.ts'
import { startCommand, type CommandProcess } from './child.ts'

/** Sizes of the demo. */
export interface SceneOptions {
  readonly products: number
  readonly categories: number
  readonly maxStalenessMs: number
  readonly edgeTtlSeconds: number
  readonly reboundMs: number
  readonly apiProcesses: number
  readonly log: Logger
  readonly metrics: MetricsRegistry
  /** Ends the start at the next step. */
  readonly signal: AbortSignal
  /** Told what is being started. */
  readonly progress: (text: string) => void
}

/** One API process of the demo. */
export interface ApiAddress {
  readonly url: string
  readonly adminUrl: string
}

/** Everything the demo runs, real and embedded. */
export interface RunningScene {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly edge: Edge
  readonly apis: readonly ApiAddress[]
  readonly pipeline: Pipeline
  /** Rejects when a part ends unasked. */
  readonly closed: Promise<void>
}

const NAMESPACE = 'demo'
const EDGE_TOKEN = 'demo-edge-token'
const RULES = fileURLToPath(new URL('../../../api/lockstep.rules.yaml', import.meta.url))
const READY_MS = 20_000

/** Starts everything in order; every start pushes its stop onto `stops`, so a failure half-way leaves nothing behind. */
export async function startScene(options: SceneOptions, stops: (() => Promise<void>)[]): Promise<RunningScene> {
  const { log, metrics, signal } = options
  const progress = (text: string): void => {
    signal.throwIfAborted()
    options.progress(text)
  }
  progress('starting Postgres')
  const postgres = await startPostgres({ major: 'any', needs: 'process' })
  stops.push(() => postgres.stop())
  progress('starting Redis')
  const redis = await startRedis({ needs: 'process' })
  stops.push(() => redis.stop())
  progress('seeding the shop')
  await seedShop(postgres.url, { products: options.products, categories: options.categories })
  progress('starting the API processes and the edge')
  const ports = await Promise.all(Array.from({ length: options.apiProcesses * 2 }, () => freePort()))
  const apis = Array.from({ length: options.apiProcesses }, (_, index) => ({
    url: `http://127.0.0.1:${ports[2 * index]}`,
    adminUrl: `http://127.0.0.1:${ports[2 * index + 1]}`,
  }))
  const processes = apis.map((api, index) =>
    startApiProcess(api, index, { ...options, databaseUrl: postgres.url, redisUrl: redis.url }),
  )
  for (const api of processes) stops.push(() => api.stop())
  const edge = await startEdge(ports[0] ?? 0, EDGE_TOKEN)
  stops.push(() => edge.stop())
  progress('starting the pipeline')
  const pipeline = await startPipeline({
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    namespace: NAMESPACE,
    rules: await readRules(RULES),
    maxStalenessMs: options.maxStalenessMs,
    reboundMs: options.reboundMs,
    tiers: edge.tier,
    edgeToken: EDGE_TOKEN,
    // Eight processes share the machine here: at most a thousand snapshots a second leave each of them more of it.
    lingerMs: 1,
    log,
    metrics,
    signal,
  })
  stops.push(() => pipeline.stop())
  await Promise.all(apis.map((api) => untilVouching(api, signal)))
  progress(`open ${edge.url}/products/1`)
  const closed = Promise.race([pipeline.closed, ...processes.map((api) => api.closed)])
  return { databaseUrl: postgres.url, redisUrl: redis.url, edge, apis, pipeline, closed }
}

function startApiProcess(
  api: ApiAddress,
  index: number,
  options: SceneOptions & { readonly databaseUrl: string; readonly redisUrl: string },
): CommandProcess {
  return startCommand('api', [], {
    LOCKSTEP_NAMESPACE: NAMESPACE,
    [API_OPTIONS.host.env]: '127.0.0.1',
    [API_OPTIONS.port.env]: new URL(api.url).port,
    [API_OPTIONS.adminPort.env]: new URL(api.adminUrl).port,
    [API_OPTIONS.databaseUrl.env]: options.databaseUrl,
    [API_OPTIONS.redisUrl.env]: options.redisUrl,
    [API_OPTIONS.processId.env]: `api-${index + 1}`,
    [API_OPTIONS.maxStalenessMs.env]: String(options.maxStalenessMs),
    [API_OPTIONS.edgeTtlSeconds.env]: String(options.edgeTtlSeconds),
    // No balancer stands before the processes of the demo.
    [API_OPTIONS.drainMs.env]: '0',
    [API_OPTIONS.reboundMs.env]: String(options.reboundMs),
  })
}

/** Waits until the process vouches for what it serves: its tail is attached and a watermark has arrived. */
async function untilVouching(api: ApiAddress, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (;;) {
    signal.throwIfAborted()
    const status = await fetch(`${api.adminUrl}/statusz`)
      .then((response) => response.json() as Promise<{ freshnessAgeMs: number | null }>)
      .catch(() => null)
    if (status !== null && status.freshnessAgeMs !== null) return
    if (performance.now() > deadline) throw new Error(`${api.url} does not vouch for its cache after ${READY_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
