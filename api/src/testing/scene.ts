import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createTestPipeline, type TestPipeline } from '@lockstep/cache/testing'
import { createMetrics, loadConfig, silentLogger } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { clockOf, parseRules, parseSnapshot, stampOf, tagsOf, type Columns, type Lsn } from '@lockstep/schemas'
import { startRedis, type RedisServer } from '@lockstep/servers'
import { Redis } from 'ioredis'
import pg from 'pg'
import { seedShop } from '../adapters/seed.ts'
import { startApi, type ApiDeps, type RunningApi } from '../compose.ts'
import { API_OPTIONS } from '../config.ts'
import { testSessions } from './test-sessions.ts'

/** Longest wait for anything that has to happen on a real server, ms. */
export const DEADLINE_MS = 10_000

const RULES = new URL('../../lockstep.rules.yaml', import.meta.url)

/** Makes an empty database of its own on a server. */
export async function createDatabase(serverUrl: string): Promise<string> {
  const name = `api_${randomUUID().replaceAll('-', '')}`
  const client = new pg.Client({ connectionString: serverUrl })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

/** A shop on real servers with as many API processes as a test wants; the test plays connector and invalidator. */
export class Scene {
  readonly databaseUrl: string
  readonly redisServer: RedisServer
  readonly namespace = `api-${randomUUID().slice(0, 8)}`
  readonly pipeline: TestPipeline
  readonly #redis: Redis
  readonly #running: RunningApi[] = []

  private constructor(databaseUrl: string, redisServer: RedisServer) {
    this.databaseUrl = databaseUrl
    this.redisServer = redisServer
    // Nothing waits for a Redis that a test killed: a heartbeat fails and the next one tries again.
    this.#redis = new Redis(redisServer.url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      commandTimeout: 2_000,
    })
    this.#redis.on('error', () => undefined)
    this.pipeline = createTestPipeline(this.#redis, this.namespace)
  }

  static async open(postgresUrl: string): Promise<Scene> {
    const databaseUrl = await createDatabase(postgresUrl)
    await seedShop(databaseUrl, { products: 10, categories: 3 })
    const scene = new Scene(databaseUrl, await startRedis({ needs: 'process' }))
    await scene.#redis.connect()
    await scene.pipeline.start()
    return scene
  }

  /** Starts a process that vouches for what it serves, on free ports unless told otherwise. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<RunningApi> {
    const api = await this.startAlone(env)
    await waitFor(() => api.status().freshnessAgeMs !== null, DEADLINE_MS)
    return api
  }

  /** Starts a process whether or not anything vouches for it. */
  async startAlone(env: Readonly<Record<string, string>> = {}, deps: ApiDeps = {}): Promise<RunningApi> {
    const config = loadConfig(API_OPTIONS, {
      env: {
        LOCKSTEP_NAMESPACE: this.namespace,
        LOCKSTEP_REDIS_URL: this.redisServer.url,
        LOCKSTEP_API_HOST: '127.0.0.1',
        LOCKSTEP_API_PORT: '0',
        LOCKSTEP_API_ADMIN_PORT: '0',
        LOCKSTEP_API_DATABASE_URL: this.databaseUrl,
        LOCKSTEP_API_STATEMENT_TIMEOUT_MS: '1000',
        LOCKSTEP_API_MAX_EVENT_LOOP_DELAY_MS: '0',
        LOCKSTEP_API_DRAIN_MS: '0',
        LOCKSTEP_TOKEN_SECRET: 'a-secret-of-the-tests',
        ...env,
      },
    })
    const api = await startApi(config, {
      log: silentLogger,
      metrics: createMetrics(),
      sessions: deps.sessions ?? testSessions,
    })
    this.#running.push(api)
    return api
  }

  /** Does with a committed change of a product what connector and invalidator do: its tags by the rules, fenced at a later snapshot. */
  async deliver(op: 'insert' | 'update' | 'delete', before: Columns, after: Columns): Promise<void> {
    const [[snapshot]] = (await this.query('select pg_current_snapshot()::text')) as [[string]]
    const stamp = stampOf(1, clockOf(parseSnapshot(snapshot)))
    const change = { kind: 'change', op, table: 'public.products', before, after, stamp } as const
    const rest = { commitLsn: 0n as Lsn, index: 0, xid: 0n, commitTimeUs: 0n }
    await this.pipeline.fence(tagsOf(parseRules(await readFile(RULES, 'utf8')), { ...change, ...rest }), stamp)
  }

  async query(text: string): Promise<unknown[][]> {
    const client = new pg.Client({ connectionString: this.databaseUrl })
    await client.connect()
    try {
      return (await client.query({ text, rowMode: 'array' })).rows as unknown[][]
    } finally {
      await client.end()
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map((api) => api.stop()))
    await this.pipeline.stop()
    this.#redis.disconnect()
    await this.redisServer.stop()
  }
}
