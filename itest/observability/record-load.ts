/**
 * Records what the autoscaler of the API would see: `node scripts/run.mjs itest/observability/record-load.ts FILE`. One API process
 * with all it needs, a step to five times the load, then a load that waits for the database pool. Samples every second.
 */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort, startPostgres, startRedis } from '@lockstep/servers'
import pg from 'pg'
import { lockstep, TestProcess } from '../process.ts'

interface Sample {
  readonly second: number
  readonly requestsPerSecond: number
  readonly p99Seconds: number
  readonly cpuCores: number
  readonly poolWaiting: number
}

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const CALM_PER_SECOND = 300
const STEP = 5
const POOL = 5
const SLICE_MS = 10
const PRODUCTS = 500

const postgres = await startPostgres({ major: 'any', needs: 'process' })
const redis = await startRedis({ needs: 'process' })
const seed = new TestProcess('seed', at('docker/seed.ts'), [], { LOCKSTEP_API_DATABASE_URL: postgres.url }).start()
await once(seed.child, 'exit')
const [port, adminPort, pipelinePort] = await Promise.all([freePort(), freePort(), freePort()])
const shared = { LOCKSTEP_REDIS_URL: redis.url, LOCKSTEP_NAMESPACE: 'record' }
const api = lockstep('api', [], {
  ...shared,
  LOCKSTEP_API_DATABASE_URL: postgres.url,
  LOCKSTEP_API_PORT: String(port),
  LOCKSTEP_API_ADMIN_PORT: String(adminPort),
  LOCKSTEP_API_DATABASE_CONNECTIONS: String(POOL),
  LOCKSTEP_API_MAX_CONCURRENT_LOADS: '3',
}).start()
const pipeline = lockstep('dev', ['--database-url', postgres.url, '--rules', at('api/lockstep.rules.yaml')], {
  ...shared,
  LOCKSTEP_ADMIN_PORT: String(pipelinePort),
}).start()
await pipeline.says('In step with')

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Open loop: what is due is sent, however long earlier answers take. */
async function load(perSecond: number, forMs: number, send: (n: number) => Promise<unknown>): Promise<void> {
  const startedAt = performance.now()
  let sent = 0
  while (performance.now() - startedAt < forMs) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond)
    for (; sent < due; sent++) void send(sent).catch(() => undefined)
    await pause(SLICE_MS)
  }
}

const read = async (n: number) => (await fetch(`http://127.0.0.1:${port}/products/${1 + (n % PRODUCTS)}`)).text()
const write = async () =>
  (
    await fetch(`http://127.0.0.1:${port}/products/1`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ priceCents: 1 }),
    })
  ).text()

type Counters = ReadonlyMap<string, number>
async function counters(): Promise<Counters> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

const REQUESTS = 'lockstep_http_request_duration_seconds'
const sumOf = (now: Counters, prefix: string): number =>
  [...now].filter(([name]) => name.startsWith(prefix)).reduce((sum, [, value]) => sum + value, 0)

/** Prometheus' histogram_quantile over what was added between two scrapes. */
function quantile(before: Counters, now: Counters, q: number): number {
  const bounds = new Map<number, number>()
  for (const [name, value] of now) {
    const [, le] = name.startsWith(`${REQUESTS}_bucket`) ? (/le="([^"]+)"/.exec(name) ?? []) : []
    if (le === undefined || le === '+Inf') continue
    bounds.set(Number(le), (bounds.get(Number(le)) ?? 0) + value - (before.get(name) ?? 0))
  }
  const all = sumOf(now, `${REQUESTS}_count`) - sumOf(before, `${REQUESTS}_count`)
  let [low, below] = [0, 0]
  for (const [bound, count] of [...bounds].toSorted(([a], [b]) => a - b)) {
    if (count >= q * all) return low + ((bound - low) * (q * all - below)) / Math.max(1, count - below)
    ;[low, below] = [bound, count]
  }
  return low
}

async function record(forMs: number): Promise<Sample[]> {
  const samples: Sample[] = []
  let before = await counters()
  for (let second = 1; second <= forMs / 1_000; second++) {
    await pause(1_000)
    const now = await counters()
    const grown = (prefix: string) => sumOf(now, prefix) - sumOf(before, prefix)
    samples.push({
      second,
      requestsPerSecond: grown(`${REQUESTS}_count`),
      p99Seconds: Number(quantile(before, now, 0.99).toFixed(4)),
      cpuCores: Number(grown('process_cpu_seconds_total').toFixed(3)),
      poolWaiting: now.get('lockstep_database_pool_waiting_requests') ?? 0,
    })
    before = now
  }
  return samples
}

await load(CALM_PER_SECOND, 5_000, read)
const [step] = await Promise.all([
  record(40_000),
  load(CALM_PER_SECOND, 15_000, read).then(() => load(CALM_PER_SECOND * STEP, 25_000, read)),
])
// One row is locked, so its writers hold every connection, and whoever needs one waits.
const locker = new pg.Client({ connectionString: postgres.url })
await locker.connect()
await locker.query('begin; update public.products set version = version + 1 where id = 1')
const [poolBound] = await Promise.all([record(30_000), load(CALM_PER_SECOND, 30_000, read), load(20, 30_000, write)])
await locker.query('rollback')
await locker.end()
writeFileSync(process.argv[2] ?? '/dev/stdout', `${JSON.stringify({ step, poolBound }, null, 1)}\n`)
for (const part of [pipeline, api]) await part.stop()
for (const server of [redis, postgres]) await server.stop()
process.exit(0)
