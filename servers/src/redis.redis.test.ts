import { existsSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { describe, expect, inject, test } from 'vitest'
import { dockerHasImage } from './docker.ts'
import { isRunning } from './processes.ts'
import { startRedis, type RedisServer } from './redis.ts'
import { only } from './testing/config.ts'
import { accepts, pollUntil } from './wait.ts'

async function withClient<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 1 })
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

const local = only('binary', 'package')
const docker = only('docker')
const hasImage = await dockerHasImage('redis:8.0', docker.dockerHost)

async function survivesAKill(redis: RedisServer): Promise<string | null> {
  await withClient(redis.url, (client) => client.set('kept', 'yes'))
  await redis.kill9()
  await expect(withClient(redis.url, (client) => client.ping())).rejects.toThrow(/closed|max retries|refused/i)
  await redis.restart()
  return withClient(redis.url, (client) => client.get('kept'))
}

describe('servers/redis', () => {
  test('the project provides a Redis that answers', async () => {
    expect(await withClient(inject('redisUrl'), (client) => client.ping())).toBe('PONG')
  })

  test('with an append-only file a killed Redis comes back on the same port with every answered write', async () => {
    const redis = await startRedis({ appendOnly: true, needs: 'process' }, local)
    const { pid } = redis
    expect(await survivesAKill(redis)).toBe('yes')
    expect(redis.pid).not.toBe(pid)
    expect(isRunning(pid)).toBe(false)
    await redis.stop()
  })

  test('without one it comes back empty', async () => {
    const redis = await startRedis({ needs: 'process' }, local)
    expect(await survivesAKill(redis)).toBeNull()
    await redis.stop()
  })

  test('stop leaves no process and no directory, and may be repeated', async () => {
    const redis = await startRedis({ needs: 'process' }, local)
    const [, directory] = await withClient(redis.url, (client) => client.config('GET', 'dir') as Promise<string[]>)
    expect(existsSync(directory ?? '')).toBe(true)
    await redis.stop()
    await redis.stop()
    expect(isRunning(redis.pid)).toBe(false)
    expect(existsSync(directory ?? '')).toBe(false)
  })

  test('options reach the server', async () => {
    const redis = await startRedis({ maxMemory: '8mb', args: ['--maxmemory-policy', 'allkeys-lru'] }, local)
    const read = (name: string) => withClient(redis.url, (client) => client.config('GET', name) as Promise<string[]>)
    expect(await read('maxmemory')).toEqual(['maxmemory', `${8 * 1024 * 1024}`])
    expect(await read('maxmemory-policy')).toEqual(['maxmemory-policy', 'allkeys-lru'])
    await redis.stop()
  })

  test('an argument Redis does not know is an error that quotes it', async () => {
    await expect(startRedis({ args: ['--no-such-option', '1'] }, local)).rejects.toThrow(/no-such-option/)
  })

  test.skipIf(!hasImage)('a container is killed, restarted and removed like a process', async () => {
    const redis = await startRedis({ appendOnly: true }, docker)
    expect(redis.source).toBe('docker')
    expect(() => redis.pid).toThrow(/needs: 'process'/)
    expect(await survivesAKill(redis)).toBe('yes')
    await redis.restart()
    expect(await withClient(redis.url, (client) => client.get('kept'))).toBe('yes')
    await redis.stop()
    await expect(withClient(redis.url, (client) => client.ping())).rejects.toThrow(/closed|max retries|refused/i)
  })
  test.skipIf(!hasImage)('a container does not outlive a starter that is killed', async () => {
    const module = new URL('./redis.ts', import.meta.url).href
    const script = `const { startRedis } = await import('${module}'); console.log((await startRedis()).port)`
    const env = { ...process.env, LOCKSTEP_SERVERS: 'docker' }
    const starter = spawn(process.execPath, ['--input-type=module', '-e', `${script}; setInterval(() => {}, 1000)`], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [port] = (await once(createInterface(starter.stdout), 'line')) as [string]
    expect(await accepts(Number(port))).toBe(true)
    starter.kill('SIGKILL')
    expect(await pollUntil(async () => !(await accepts(Number(port))), 10_000, 50)).toBe(true)
  })
})
