import { Agent, request as send } from 'node:http'
import { randomUUID } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { seedShop } from '@lockstep/api'
import { createTestPipeline, type TestPipeline } from '@lockstep/cache/testing'
import {
  freePort,
  pollUntil,
  startHaproxy,
  startPostgres,
  startRedis,
  type Haproxy,
  type PostgresServer,
  type RedisServer,
} from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lockstep, type TestProcess } from '../process.ts'

const PRODUCTS = 50
const READERS = 8
const READY_MS = 30_000

interface Replica {
  readonly process: TestProcess
  readonly port: number
  readonly adminPort: number
}

let postgres: PostgresServer
let redisServer: RedisServer
let redis: Redis
let pipeline: TestPipeline
let balancer: Haproxy
const replicas: Replica[] = []

const isReady = ({ adminPort }: Replica): Promise<boolean> =>
  fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  )

async function serves({ adminPort }: Replica): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/statusz`)
  return ((await response.json()) as { cache: { l1Hit: number } }).cache.l1Hit > 20
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  if (!(await pollUntil(condition, READY_MS))) throw new Error(`not within ${READY_MS} ms: ${String(condition)}`)
}

async function startReplica(namespace: string): Promise<Replica> {
  const [port, adminPort] = await Promise.all([freePort(), freePort()])
  const process = lockstep('api', [], {
    LOCKSTEP_NAMESPACE: namespace,
    LOCKSTEP_REDIS_URL: redisServer.url,
    LOCKSTEP_API_HOST: '127.0.0.1',
    LOCKSTEP_API_PORT: `${port}`,
    LOCKSTEP_API_ADMIN_PORT: `${adminPort}`,
    LOCKSTEP_API_DATABASE_URL: postgres.url,
    LOCKSTEP_TOKEN_SECRET: 'a-secret-of-the-tests',
  })
  return { process, port, adminPort }
}

beforeAll(async () => {
  postgres = await startPostgres({ major: 'any', needs: 'process' })
  redisServer = await startRedis({ needs: 'process' })
  await seedShop(postgres.url, { products: PRODUCTS, categories: 3 })
  const namespace = `drain-${randomUUID().slice(0, 8)}`
  redis = new Redis(redisServer.url)
  pipeline = createTestPipeline(redis, namespace)
  await pipeline.start()
  replicas.push(await startReplica(namespace), await startReplica(namespace))
  for (const replica of replicas) replica.process.start()
  for (const replica of replicas) await eventually(() => isReady(replica))
  balancer = await startHaproxy({
    checkPath: '/readyz',
    replicas: replicas.map(({ port, adminPort }) => ({ port, checkPort: adminPort })),
  })
})
afterAll(async () => {
  await balancer?.stop()
  for (const { process } of replicas) await process.stop()
  await pipeline?.stop()
  redis?.disconnect()
  await redisServer?.stop()
  await postgres?.stop()
})

interface Load {
  readonly answered: () => number
  /** Ends it; answers every request that failed. */
  stop(): Promise<string[]>
}

/** Asks through the balancer on keep-alive connections, each reader one request after the other. */
function load(requests: readonly { method: string; path: (n: number) => string; body?: string }[]): Load {
  const agent = new Agent({ keepAlive: true })
  const failures: string[] = []
  let answered = 0
  let isOver = false
  const once = ({ method, path, body }: (typeof requests)[number], n: number): Promise<void> =>
    new Promise((resolve) => {
      const failed = (why: string): void => {
        failures.push(`${method} ${path(n)}: ${why}`)
        resolve()
      }
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const request = send(balancer.url + path(n), { method, agent, headers }, (response) => {
        text(response).then(
          () => {
            if (response.statusCode !== 200) return failed(`status ${response.statusCode}`)
            answered += 1
            resolve()
          },
          (error: Error) => failed(error.message),
        )
      })
      request.once('error', (error) => failed(error.message))
      request.end(body)
    })
  const readers = requests.map(async (request, reader) => {
    for (let n = reader; !isOver; n++) await once(request, n)
  })
  return {
    answered: () => answered,
    stop: async () => {
      isOver = true
      await Promise.all(readers)
      agent.destroy()
      return failures
    },
  }
}

const read = { method: 'GET', path: (n: number) => `/products/${1 + (n % PRODUCTS)}` }
const write = { method: 'PUT', path: (n: number) => `/products/${1 + (n % PRODUCTS)}`, body: '{"priceCents":7}' }

/** Lets both replicas end in turn by `end` and come back, under load all the time; answers what failed. */
async function replaceInTurn(running: Load, end: (process: TestProcess) => Promise<unknown>): Promise<string[]> {
  for (const replica of replicas) {
    await end(replica.process)
    replica.process.start()
    await eventually(() => isReady(replica))
    // The balancer has it back: it answers hits again, which it counts from 0.
    await eventually(() => serves(replica))
  }
  return running.stop()
}

describe('itest/api/drain', () => {
  test('replicas that are told to stop, one after the other, fail no request, reads and writes alike', async () => {
    const running = load([...Array.from({ length: READERS }, () => read), write, write])
    expect(await replaceInTurn(running, (process) => process.stop('SIGTERM'))).toEqual([])
    expect(running.answered()).toBeGreaterThan(1_000)
  })

  test('replicas that are killed, one after the other, fail no read', async () => {
    const running = load(Array.from({ length: READERS }, () => read))
    const kill = async (process: TestProcess): Promise<void> => {
      process.kill9()
      await process.stop('SIGKILL')
    }
    expect(await replaceInTurn(running, kill)).toEqual([])
  })
})
