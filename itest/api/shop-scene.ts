import { randomUUID } from 'node:crypto'
import {
  API_OPTIONS,
  openDatabase,
  openReadModel,
  readContent,
  seedShop,
  startApi,
  type RunningApi,
} from '@lockstep/api'
import { createTestPipeline } from '@lockstep/cache/testing'
import { createMetrics, loadConfig, silentLogger } from '@lockstep/runtime'
import { startPostgres, startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { signIn } from './sign-in.ts'

const COMMAND_MS = 10_000

/** One API process with sessions of its own, on real servers, and a pipeline that keeps the watermark moving. */
export interface ShopScene {
  readonly api: RunningApi
  /** Signs up and logs in; answers the token. */
  login(name: string): Promise<string>
  close(): Promise<void>
}

/** Builds the model of bestsellers and counts, as `lockstep shop-rebuild` does. */
async function buildReadModel(databaseUrl: string, url: string, namespace: string): Promise<void> {
  const database = openDatabase({ databaseUrl, maxConnections: 1, statementTimeoutMs: COMMAND_MS })
  const model = openReadModel({ url, namespace, commandTimeoutMs: COMMAND_MS, failed: () => undefined })
  try {
    await model.ready()
    if (!(await model.rebuild(() => readContent(database)))) throw new Error('somebody else builds the read model')
  } finally {
    model.close()
    await database.close()
  }
}

/** Starts it all on free ports; `env` overrides the API's variables. */
export async function openShopScene(env: Readonly<Record<string, string>> = {}): Promise<ShopScene> {
  const stops: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).toReversed()) await stop()
  }
  try {
    const postgres = await startPostgres({ major: 'any', needs: 'process' })
    stops.push(() => postgres.stop())
    const redisServer = await startRedis({ needs: 'process' })
    stops.push(() => redisServer.stop())
    await seedShop(postgres.url, { products: 20, categories: 3 })
    const namespace = `shop-${randomUUID().slice(0, 8)}`
    await buildReadModel(postgres.url, redisServer.url, namespace)
    const redis = new Redis(redisServer.url)
    const pipeline = createTestPipeline(redis, namespace)
    await pipeline.start()
    stops.push(async () => {
      await pipeline.stop()
      redis.disconnect()
    })
    const settings = {
      LOCKSTEP_NAMESPACE: namespace,
      LOCKSTEP_REDIS_URL: redisServer.url,
      LOCKSTEP_API_HOST: '127.0.0.1',
      LOCKSTEP_API_PORT: '0',
      LOCKSTEP_API_ADMIN_PORT: '0',
      LOCKSTEP_API_DATABASE_URL: postgres.url,
      LOCKSTEP_API_DRAIN_MS: '0',
      LOCKSTEP_API_LOGINS_PER_MINUTE: '0',
      LOCKSTEP_API_ADMIN_PER_MINUTE: '0',
      ...env,
    }
    const config = loadConfig(API_OPTIONS, { env: settings })
    const api = await startApi(config, { log: silentLogger, metrics: createMetrics() })
    stops.push(() => api.stop())
    return { api, login: (name) => signIn(api.url, name), close }
  } catch (error) {
    await close()
    throw error
  }
}
