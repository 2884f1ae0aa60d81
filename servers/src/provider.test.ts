import { describe, expect, test } from 'vitest'
import { readServersConfig } from './config.ts'
import { ServersError } from './errors.ts'
import { startKafka } from './kafka.ts'
import { startPostgres } from './postgres.ts'
import { firstOffer } from './provider.ts'
import { startRedis } from './redis.ts'
import { ensureVarnish, startVarnish } from './varnish.ts'

/** A machine without anything: nothing given, no daemon, no program, no way to install one. */
const bare = { ...readServersConfig({ DOCKER_HOST: 'unix:///nonexistent.sock', PATH: '' }) }
const nowhere = { find: () => undefined, install: () => Promise.resolve(false) }

async function errorOf(start: Promise<unknown>): Promise<ServersError> {
  try {
    await start
  } catch (error) {
    if (error instanceof ServersError) return error
    throw error
  }
  throw new Error('a server was found where there is none')
}

describe('servers/provider', () => {
  test('the first source that has a server wins, and later ones are not asked', async () => {
    const asked: string[] = []
    const offer = (name: string, server: string | undefined) => () => {
      asked.push(name)
      return Promise.resolve(server)
    }
    const sources = { env: offer('env', undefined), docker: offer('docker', 'a'), binary: offer('binary', 'b') }
    const server = await firstOffer({ what: 'X', remedy: '', sources }, { order: ['env', 'docker', 'binary'] })
    expect(server).toBe('a')
    expect(asked).toEqual(['env', 'docker'])
  })

  test('LOCKSTEP_SERVERS decides which sources are asked and in which order', async () => {
    const config = readServersConfig({ LOCKSTEP_SERVERS: 'binary, env' })
    const sources = { env: () => Promise.resolve('env'), binary: () => Promise.resolve('binary') }
    expect(await firstOffer({ what: 'X', remedy: '', sources }, config)).toBe('binary')
  })

  test('an unknown source is refused by name', () => {
    expect(() => readServersConfig({ LOCKSTEP_SERVERS: 'env,podman' })).toThrow(
      /names podman; write some of env, docker/,
    )
  })

  test('a server that is given by environment is used as it is, and stopping it does nothing', async () => {
    const config = { ...bare, redisUrl: 'redis://example.test:7000/3' }
    const redis = await startRedis({}, config, nowhere)
    await redis.stop()
    expect(redis).toMatchObject({ source: 'env', host: 'example.test', port: 7000, url: 'redis://example.test:7000/3' })
    expect(() => redis.pid).toThrow(/needs: 'process'/)
    await expect(redis.kill9()).rejects.toThrow(/needs: 'process'/)
  })

  test.each([
    ['needs', { needs: 'process' as const }],
    ['arguments', { args: ['--databases', '2'] }],
    ['an append-only file', { appendOnly: true }],
  ])('a given server is passed over when the caller asks for %s', async (_what, options) => {
    const error = await errorOf(startRedis(options, { ...bare, redisUrl: 'redis://example.test' }, nowhere))
    expect(error.code).toBe('LOCKSTEP_SRV_NOT_FOUND')
  })

  test('a given Postgres is passed over when the caller asks for settings', async () => {
    const config = { ...bare, postgresUrl: 'postgres://u:p%40@example.test/db' }
    const given = await startPostgres({}, config, nowhere)
    expect(given).toMatchObject({ source: 'env', user: 'u', password: 'p@', port: 5432 })
    expect(() => given.dataDir).toThrow(/needs: 'process'/)
    expect((await errorOf(startPostgres({ settings: { a: '1' } }, config, nowhere))).code).toBe(
      'LOCKSTEP_SRV_NOT_FOUND',
    )
  })

  test.each([
    [
      'Redis',
      () => startRedis({}, bare, nowhere),
      [/LOCKSTEP_TEST_REDIS_URL/, /redis:8\.0/, /apt-get install redis-server/],
    ],
    ['Postgres 18', () => startPostgres({}, bare, nowhere), [/LOCKSTEP_TEST_POSTGRES_URL/, /postgres:18/, /npm ci/]],
    ['Postgres 15', () => startPostgres({ major: 15 }, bare, nowhere), [/POSTGRES15_URL/, /install postgresql-15/]],
    [
      'Kafka',
      () => startKafka({}, bare, { ...nowhere, find: () => Promise.resolve(undefined) }),
      [/LOCKSTEP_TEST_KAFKA_BROKERS/, /apache\/kafka:4\.3\.1/, /install maven/],
    ],
    ['Varnish', () => startVarnish({ vcl: '' }, bare, nowhere), [/varnish:7\.7/, /install varnish varnish-modules/]],
    ['varnishd', () => ensureVarnish(bare, nowhere), [/install varnish varnish-modules/]],
  ] as const)('where there is no %s the error says what was tried and what to do', async (what, start, remedies) => {
    const error = await errorOf(start())
    expect(error).toMatchObject({ code: 'LOCKSTEP_SRV_NOT_FOUND', disposition: 'config' })
    expect(error.message).toContain(`no ${what} found (tried: `)
    for (const remedy of remedies) expect(error.message).toMatch(remedy)
  })

  test('a package that was installed is looked for again', async () => {
    const looked: string[] = []
    const finder = {
      find: () => void looked.push('find') as undefined,
      install: () => Promise.resolve(looked.push('install') > 0),
    }
    await errorOf(startRedis({}, bare, finder))
    expect(looked).toEqual(['find', 'install', 'find'])
  })
})
