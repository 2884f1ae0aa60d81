import { fileURLToPath } from 'node:url'
import { API_OPTIONS, seedShop } from '@lockstep/api'
import { edgeVcl } from '@lockstep/cdn-purger'
import { LatencyRecorder, systemTime } from '@lockstep/runtime'
import { freePort, startPostgres, startRedis, startVarnish } from '@lockstep/servers'
import pg from 'pg'
import { Pool } from 'undici'
import { startLockstep } from './lockstep-process.ts'

const NAMESPACE = 'bench'
const TOKEN = 'bench-edge'
const RULES = fileURLToPath(new URL('../../../api/lockstep.rules.yaml', import.meta.url))
const COMMITS_PER_SECOND = 200
const WRITERS = 4
const READY_MS = 30_000
// As in the demo: until the hot paths of the processes are compiled.
const WARM_UP_SECONDS = 4
// Each look costs all processes time that they share with what is measured, so a part of the commits is looked for at once.
const FOLLOWED_EVERY = 4
// A purge that takes longer is counted as this long, and as lost.
const GIVE_UP_MS = 5_000

/** What commits at a steady rate took to reach the edge. */
export interface EdgeLatency {
  readonly p50: number
  readonly p99: number
  readonly commits: number
  /** Commits whose old answer was still served after 5 s. */
  readonly lost: number
}

/**
 * Writes products one by one through SQL and asks the outer of two Varnish tiers for every fourth, once per millisecond,
 * until it answers MISS with the new version: then both tiers have dropped the old one. The clock runs from the
 * acknowledgement of the commit to that answer, which the origin has loaded anew. The others are asked for in the end.
 */
export async function measureCommitToEdge(seconds: number): Promise<EdgeLatency> {
  const warmUp = COMMITS_PER_SECOND * WARM_UP_SECONDS
  const products = warmUp + COMMITS_PER_SECOND * seconds
  const stops: (() => Promise<unknown>)[] = []
  try {
    const { postgresUrl, edgeUrl } = await startScene(products, stops)
    const client = new Pool(edgeUrl, { connections: 32 })
    stops.push(async () => client.close())
    const versions = await warm(client, products)
    const isPurged = async (id: number): Promise<boolean> => {
      const { label, version } = await get(client, id)
      return label === 'MISS' && version > (versions[id] ?? 0)
    }
    const pool = new pg.Pool({ connectionString: postgresUrl, max: WRITERS })
    stops.push(async () => pool.end())
    const latency = new LatencyRecorder()
    const unasked: number[] = []
    let lost = 0
    const write = async (id: number): Promise<void> => {
      await pool.query('update products set price_cents = price_cents + 1, version = version + 1 where id = $1', [id])
      if (id % FOLLOWED_EVERY !== 0) return void unasked.push(id)
      const ms = await msUntil(async () => isPurged(id))
      if (ms === null) lost += 1
      if (id > warmUp) latency.record(ms ?? GIVE_UP_MS)
    }
    await atRate(products, write)
    for (const id of unasked) if ((await msUntil(async () => isPurged(id))) === null) lost += 1
    const { p50, p99 } = latency.summary()
    return { p50, p99, commits: products - warmUp, lost }
  } finally {
    for (const stop of stops.toReversed()) await stop().catch(() => undefined)
  }
}

/** Begins one piece of work per commit that is due, and waits for all of them. */
async function atRate(count: number, work: (id: number) => Promise<void>): Promise<void> {
  const startMs = systemTime.nowMs()
  const working: Promise<void>[] = []
  for (let id = 1; id <= count; id++) {
    const waitMs = startMs + (id * 1_000) / COMMITS_PER_SECOND - systemTime.nowMs()
    if (waitMs > 0) await systemTime.sleep(waitMs)
    working.push(work(id))
  }
  await Promise.all(working)
}

/** How long it takes until `isSo`, ms; null when it takes too long. */
async function msUntil(isSo: () => Promise<boolean>): Promise<number | null> {
  const startMs = systemTime.nowMs()
  for (;;) {
    const didCome = await isSo()
    const ms = systemTime.nowMs() - startMs
    if (didCome) return ms
    if (ms > GIVE_UP_MS) return null
    await systemTime.sleep(1)
  }
}

async function startScene(products: number, stops: (() => Promise<unknown>)[]) {
  const postgres = await startPostgres({ major: 'any', needs: 'process' })
  stops.push(async () => postgres.stop())
  const redis = await startRedis({ needs: 'process' })
  stops.push(async () => redis.stop())
  await seedShop(postgres.url, { products, categories: 10 })
  const [port, adminPort] = [await freePort(), await freePort()]
  const api = startLockstep('api', [], {
    LOCKSTEP_NAMESPACE: NAMESPACE,
    [API_OPTIONS.host.env]: '127.0.0.1',
    [API_OPTIONS.port.env]: String(port),
    [API_OPTIONS.adminPort.env]: String(adminPort),
    [API_OPTIONS.databaseUrl.env]: postgres.url,
    [API_OPTIONS.redisUrl.env]: redis.url,
    [API_OPTIONS.processId.env]: 'api-1',
    [API_OPTIONS.edgeTtlSeconds.env]: '600',
  })
  stops.push(api)
  const tier = async (backendPort: number) => {
    const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort })
    const varnish = await startVarnish({ vcl, env: { LOCKSTEP_PURGE_TOKEN: TOKEN }, needs: 'process' })
    stops.push(async () => varnish.stop())
    return varnish
  }
  const shield = await tier(port)
  const edge = await tier(shield.port)
  const flags = {
    '--database-url': postgres.url,
    '--rules': RULES,
    '--redis-url': redis.url,
    '--namespace': NAMESPACE,
    '--tiers': `varnish+${shield.url};varnish+${edge.url}`,
    '--edge-token': TOKEN,
    '--admin-port': '0',
    '--api-port': '0',
  }
  stops.push(startLockstep('dev', Object.entries(flags).flat(), {}))
  await untilVouching(adminPort)
  return { postgresUrl: postgres.url, edgeUrl: edge.url }
}

/** Waits until the process vouches for what it serves: before, nothing is stored at the edge for long. */
async function untilVouching(adminPort: number): Promise<void> {
  const deadlineMs = systemTime.nowMs() + READY_MS
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${adminPort}/statusz`)
      .then(async (response) => (await response.json()) as { freshnessAgeMs: number | null })
      .catch(() => null)
    if (status !== null && status.freshnessAgeMs !== null) return
    if (systemTime.nowMs() > deadlineMs) throw new Error('the API process does not vouch for its cache')
    await systemTime.sleep(50)
  }
}

/** Has the edge keep every product, also after the purges with which a pipeline starts; answers their versions by id. */
async function warm(client: Pool, products: number): Promise<number[]> {
  const deadlineMs = systemTime.nowMs() + READY_MS
  const ids = Array.from({ length: products }, (_, index) => index + 1)
  const versions: number[] = []
  for (;;) {
    let misses = 0
    for (const id of ids) {
      const { label, version } = await get(client, id)
      if (label !== 'HIT') misses += 1
      versions[id] = version
    }
    if (misses === 0) return versions
    if (systemTime.nowMs() > deadlineMs) throw new Error(`the edge does not keep ${misses} of ${products} products`)
  }
}

async function get(client: Pool, id: number): Promise<{ label: string; version: number }> {
  const { headers, body } = await client.request({ method: 'GET', path: `/products/${id}` })
  const { version } = (await body.json()) as { version: number }
  return { label: String(headers['x-cache']), version }
}
