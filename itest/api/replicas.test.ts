import { fileURLToPath } from 'node:url'
import { API_OPTIONS, seedShop, startApi, type ApiDeps } from '@lockstep/api'
import { createMetrics, loadConfig, silentLogger, type MetricsRegistry } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '@lockstep/servers'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startStandby } from '../connector/standby.ts'
import { lockstep } from '../process.ts'
import { ShopReads, type Reader } from './shop-reads.ts'

const RULES = fileURLToPath(new URL('../../api/lockstep.rules.yaml', import.meta.url))
const NAMESPACE = 'replicas'
const DEADLINE_MS = 30_000
const LAG_MS = 10_000
const PRODUCTS = 40

interface Shop {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
  readonly redis: RedisServer
}

/** A primary and a standby that follows it, a Redis, and the whole pipeline in a process of its own. */
async function openShop(): Promise<Shop> {
  const primary = await startPostgres({ major: 18, needs: 'process' })
  onTestFinished(() => primary.stop())
  const redis = await startRedis({ needs: 'process' })
  onTestFinished(() => redis.stop())
  await seedShop(primary.url, { products: 2 * PRODUCTS, categories: 2 })
  const standby = await startStandby(primary, 18)
  onTestFinished(() => standby.stop())
  const env = { LOCKSTEP_NAMESPACE: NAMESPACE }
  const args = ['--database-url', primary.url, '--redis-url', redis.url, '--rules', RULES, '--admin-port', '0']
  const pipeline = lockstep('dev', args, env).start()
  onTestFinished(async () => void (await pipeline.stop('SIGKILL')))
  await pipeline.says('In step with', DEADLINE_MS)
  return { primary, standby, redis }
}

interface Process extends Reader {
  readonly metrics: MetricsRegistry
  stop(): Promise<void>
}

async function startProcess(
  { primary, standby, redis }: Shop,
  contractMs: number,
  { env, unsafe }: { readonly env?: Record<string, string>; readonly unsafe?: ApiDeps['unsafe'] } = {},
): Promise<Process> {
  const config = loadConfig(API_OPTIONS, {
    env: {
      LOCKSTEP_NAMESPACE: NAMESPACE,
      LOCKSTEP_REDIS_URL: redis.url,
      LOCKSTEP_MAX_STALENESS_MS: String(contractMs),
      LOCKSTEP_API_HOST: '127.0.0.1',
      LOCKSTEP_API_PORT: '0',
      LOCKSTEP_API_ADMIN_PORT: '0',
      LOCKSTEP_API_DATABASE_URL: primary.url,
      LOCKSTEP_API_REPLICA_URLS: standby.url,
      LOCKSTEP_API_REPLICA_MAX_LAG_MS: String(contractMs),
      // So short that most reads load, and what is not written is loaded too.
      LOCKSTEP_API_TTL_MS: '200',
      LOCKSTEP_API_STATEMENT_TIMEOUT_MS: '1000',
      LOCKSTEP_API_MAX_EVENT_LOOP_DELAY_MS: '0',
      ...env,
    },
  })
  const metrics = createMetrics()
  const api = await startApi(config, { log: silentLogger, metrics, unsafe })
  onTestFinished(() => api.stop())
  await waitFor(() => api.status().freshnessAgeMs !== null, DEADLINE_MS)
  const verdict = { reads: 0, pastContract: 0, brokenTokens: 0, backwards: 0, refused: 0 }
  return { url: api.url, contractMs, verdict, metrics, stop: () => api.stop() }
}

/** How often loads ended so. */
async function loads({ metrics }: Process, outcome: string): Promise<number> {
  const line = new RegExp(`^lockstep_api_replica_loads_total\\{outcome="${outcome}"\\} (\\d+)`, 'm')
  return Number(line.exec(await metrics.text())?.[1] ?? 0)
}

async function query(url: string, ...texts: string[]): Promise<unknown> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    let answer: unknown
    for (const text of texts) [answer] = (await client.query({ text, rowMode: 'array' })).rows as unknown[]
    return answer
  } finally {
    await client.end()
  }
}

/** Makes the standby replay every commit `ms` late. */
const delayReplay = (standby: PostgresServer, ms: number) =>
  query(standby.url, `alter system set recovery_min_apply_delay = '${ms}ms'`, 'select pg_reload_conf()')

const CLEAN = { pastContract: 0, brokenTokens: 0, backwards: 0, refused: 0 }

describe('itest/api/replicas', () => {
  test('a standby 10 s behind breaks no contract, no token and no order, and does without the stamp rule; a stopped primary refuses cleanly', async () => {
    const shop = await openShop()
    const strict = await startProcess(shop, 5_000)
    const lax = await startProcess(shop, 30_000)
    const load = new ShopReads(PRODUCTS)
    const readers = [strict, lax]

    await load.run(3_000, { writer: lax.url, readers })
    for (const { verdict } of readers) expect(verdict).toMatchObject(CLEAN)
    expect(await loads(strict, 'replica')).toBeGreaterThan(0)

    await delayReplay(shop.standby, LAG_MS)
    await load.run(LAG_MS + 1_500, { writer: lax.url, readers })
    const before = { strict: await loads(strict, 'replica'), lax: await loads(lax, 'replica') }
    await load.run(3_000, { writer: lax.url, readers })
    const lag = (await query(
      shop.standby.url,
      'select extract(epoch from now() - pg_last_xact_replay_timestamp())::float8',
    )) as [number]
    expect(lag[0]).toBeGreaterThan(LAG_MS / 1000 - 1)
    for (const { verdict } of readers) expect(verdict).toMatchObject(CLEAN)
    // Ten seconds are past the contract of one, and not of the other: that one reads there what was not written lately.
    expect(await loads(strict, 'replica')).toBe(before.strict)
    expect(await loads(lax, 'replica')).toBeGreaterThan(before.lax)
    expect(await loads(lax, 'overtaken')).toBeGreaterThan(0)
    console.log('replicas:', JSON.stringify({ lagSeconds: lag[0], strict: strict.verdict, lax: lax.verdict }))

    await Promise.all(readers.map((reader) => reader.stop()))
    await withoutTheRule(shop, load)
    await stoppedPrimary(shop, load)
  })
})

/** The protection switched off: what the standby says passes for what the primary would have said. */
async function withoutTheRule(shop: Shop, load: ShopReads): Promise<void> {
  const trusting = await startProcess(shop, 5_000, { unsafe: { unsafeTrustReplicas: true } })
  await load.run(4_000, { writer: trusting.url, readers: [trusting] })
  await trusting.stop()
  console.log('without the rule:', JSON.stringify(trusting.verdict))
  expect(trusting.verdict.brokenTokens).toBeGreaterThan(0)
  expect(trusting.verdict.pastContract).toBeGreaterThan(0)
}

/** What was cached is answered within the contract, what was not is refused at once: 503 with Retry-After, never stored. */
async function stoppedPrimary(shop: Shop, load: ShopReads): Promise<void> {
  const patient = await startProcess(shop, 5_000, { env: { LOCKSTEP_API_TTL_MS: '60000' } })
  // Products that no other process has put into Redis to live there for a moment.
  const half = PRODUCTS / 2
  const cached = Array.from({ length: half }, (_, index) => PRODUCTS + 1 + index)
  for (const id of cached) expect((await load.read(patient, id)).status).toBe(200)
  await shop.primary.kill9()
  const killedAt = performance.now()
  const answers = new Set<string>()
  const seen = {
    servedUntilMs: 0,
    refusedFromMs: Number.POSITIVE_INFINITY,
    slowestMs: 0,
    served: 0,
    servedUncached: 0,
    refused: 0,
  }
  while (performance.now() - killedAt < 7_000) {
    for (const id of [PRODUCTS + 1 + (seen.served % half), PRODUCTS + half + 1 + (seen.refused % half)]) {
      const beganAt = performance.now()
      const response = await load.read(patient, id)
      seen.slowestMs = Math.max(seen.slowestMs, performance.now() - beganAt)
      const { status, headers } = response
      if (status === 200) {
        seen.served += 1
        seen.servedUntilMs = beganAt - killedAt
        if (!cached.includes(id)) seen.servedUncached += 1
        continue
      }
      seen.refused += 1
      answers.add([status, headers.get('retry-after'), headers.get('cache-control')].join(' '))
      if (cached.includes(id)) seen.refusedFromMs = Math.min(seen.refusedFromMs, beganAt - killedAt)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  console.log('stopped primary:', JSON.stringify(seen))
  expect(seen.servedUncached).toBe(0)
  expect([...answers]).toEqual(['503 1 no-store'])
  expect(seen.servedUntilMs).toBeGreaterThan(2_000)
  expect(seen.servedUntilMs).toBeLessThanOrEqual(patient.contractMs)
  expect(seen.refusedFromMs).toBeGreaterThan(seen.servedUntilMs)
  expect(seen.slowestMs).toBeLessThan(1_500)
  expect(patient.verdict).toMatchObject({ pastContract: 0, brokenTokens: 0, backwards: 0 })
}
