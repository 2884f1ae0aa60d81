import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { seedShop } from '@lockstep/api'
import { createTestPipeline } from '@lockstep/cache/testing'
import { systemTime } from '@lockstep/runtime'
import { freePort, startPostgres, startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { startLockstep } from '../purger/lockstep-process.ts'

const PEER = fileURLToPath(new URL('peer-process.ts', import.meta.url))
const NAMESPACE = 'bench'
const READY_MS = 30_000

/** One replica of the API as it is run in production, on real servers, and its neighbours. */
export interface ApiRig {
  readonly url: string
  readonly adminUrl: string
  readonly redisUrl: string
  readonly databaseUrl: string
  /** Starts a Fastify of its own that answers the same products; answers its address. */
  startPeer(name: string, products: number): Promise<string>
  close(): Promise<void>
}

/** How the API is run, where it matters. */
export interface ApiRun {
  /** A command that runs the process, such as `taskset -c 0`. */
  readonly runner?: readonly string[] | undefined
  /** Answers the address by which the API reaches the database. */
  readonly reach?: ((databaseUrl: string) => Promise<string>) | undefined
}

/** Starts Postgres, Redis, a pipeline that keeps the watermark moving, and one API process with this environment. */
export async function openApiRig(
  products: number,
  env: Readonly<Record<string, string>> = {},
  { runner = [], reach }: ApiRun = {},
): Promise<ApiRig> {
  const stops: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).toReversed()) await stop().catch(() => undefined)
  }
  try {
    const postgres = await startPostgres({ major: 'any', needs: 'process' })
    stops.push(() => postgres.stop())
    const redisServer = await startRedis({ needs: 'process' })
    stops.push(() => redisServer.stop())
    await seedShop(postgres.url, { products, categories: 10 })
    const redis = new Redis(redisServer.url)
    const pipeline = createTestPipeline(redis, NAMESPACE)
    await pipeline.start()
    stops.push(async () => {
      await pipeline.stop()
      redis.disconnect()
    })
    const [port, adminPort] = await Promise.all([freePort(), freePort()])
    stops.push(
      startLockstep(
        'api',
        [],
        {
          LOCKSTEP_NAMESPACE: NAMESPACE,
          LOCKSTEP_REDIS_URL: redisServer.url,
          LOCKSTEP_API_HOST: '127.0.0.1',
          LOCKSTEP_API_PORT: `${port}`,
          LOCKSTEP_API_ADMIN_PORT: `${adminPort}`,
          LOCKSTEP_API_DATABASE_URL: (await reach?.(postgres.url)) ?? postgres.url,
          LOCKSTEP_TOKEN_SECRET: 'a-secret-of-the-benchmark',
          ...env,
        },
        runner,
      ),
    )
    const rig = { url: `http://127.0.0.1:${port}`, adminUrl: `http://127.0.0.1:${adminPort}` }
    await until(async () => (await statusOf(rig.adminUrl)).freshnessAgeMs !== null)
    const startPeer = async (name: string, count: number): Promise<string> => {
      const { address, stop } = await startPeerProcess([name, redisServer.url, rig.url, `${count}`])
      stops.push(stop)
      return address
    }
    return { ...rig, redisUrl: redisServer.url, databaseUrl: postgres.url, startPeer, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startPeerProcess([name = '', ...rest]: readonly string[]): Promise<{
  address: string
  stop: () => Promise<unknown>
}> {
  const port = await freePort()
  const child = spawn(process.execPath, [...process.execArgv, PEER, name, `${port}`, ...rest], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  const exited = once(child, 'exit')
  const isUp = await Promise.race([once(child.stdout, 'data').then(() => true), exited.then(() => false)])
  if (!isUp) throw new Error(`the contestant ${name} ended before it listened`)
  const stop = async (): Promise<void> => {
    kill()
    await exited
    process.off('exit', kill)
  }
  return { address: `http://127.0.0.1:${port}`, stop }
}

/** What `/statusz` says, as far as benchmarks look at it. */
export interface RigStatus {
  readonly freshnessAgeMs: number | null
  readonly cache: { readonly l1Hit: number; readonly loads: number }
}

/** Reads `/statusz` of a replica. */
export async function statusOf(adminUrl: string): Promise<RigStatus> {
  return (await (await fetch(`${adminUrl}/statusz`)).json()) as RigStatus
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = systemTime.nowMs() + READY_MS
  while (!(await isSo().catch(() => false))) {
    if (systemTime.nowMs() > deadline) throw new Error('the API did not come up')
    await systemTime.sleep(50)
  }
}
