import { readServersConfig, type ServersConfig, type ServerSource } from './config.ts'
import { dockerHasImage, startContainer } from './docker.ts'
import { findBinary } from './find-binary.ts'
import { freePort } from './free-port.ts'
import { installHint, installPackages, type PackageNames } from './package-manager.ts'
import { startOwnServer } from './own-server.ts'
import { firstOffer } from './provider.ts'
import { extended, givenServer, type RunningServer, type ServerNeeds } from './server.ts'
import { ask } from './wait.ts'
import { makeWorkDir } from './work-dir.ts'

/** The release the compose stack runs. */
const IMAGE = 'redis:8.0'
const PACKAGES: PackageNames = { apt: ['redis-server'], dnf: ['redis'], apk: ['redis'], brew: ['redis'] }

/** Chooses how Redis runs; with any of the first three a server given by environment is passed over. */
export interface RedisOptions extends ServerNeeds {
  /** Added last to the command line, so they win. */
  readonly args?: readonly string[] | undefined
  /** Writes each command to disk before it is answered, so that `kill9` loses nothing. Off by default. */
  readonly appendOnly?: boolean | undefined
  /** Like `64mb`; unlimited by default. */
  readonly maxMemory?: string | undefined
}

/** Is a Redis that answers. */
export interface RedisServer extends RunningServer {
  readonly url: string
  readonly host: string
  readonly port: number
}

const isAlive = async (port: number): Promise<boolean> => /^(\+PONG|-NOAUTH)/.test(await ask(port, 'PING\r\n'))

function settings(options: RedisOptions): string[] {
  const persistence =
    options.appendOnly === true ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  const memory = options.maxMemory === undefined ? [] : ['--maxmemory', options.maxMemory]
  return ['--save', '', ...persistence, ...memory, ...(options.args ?? [])]
}

async function startBinary(file: string, options: RedisOptions, source: ServerSource): Promise<RedisServer> {
  const work = makeWorkDir('redis')
  const port = await freePort()
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', work.path, ...settings(options)]
  const command = { name: 'redis-server', file, args, cwd: work.path, reapSignal: 'KILL' } as const
  const server = await startOwnServer({ work, command: () => command, isReady: () => isAlive(port) })
  return extended(server, { source, ...addressOf(port) })
}

async function startDocker(options: RedisOptions): Promise<RedisServer | undefined> {
  const port = await freePort()
  const server = await startContainer({
    what: 'Redis',
    image: IMAGE,
    ports: [{ container: 6379, host: port }],
    command: ['redis-server', '--bind', '0.0.0.0', '--protected-mode', 'no', ...settings(options)],
    readyLog: /Ready to accept connections/,
    probe: () => isAlive(port),
  })
  if (server === undefined) return undefined
  return extended(server, addressOf(port))
}

const addressOf = (port: number) => ({ url: `redis://127.0.0.1:${port}`, host: '127.0.0.1', port })

function given(url: string): RedisServer {
  const { hostname, port } = new URL(url)
  return extended(givenServer('Redis'), { url, host: hostname, port: Number(port || 6379) })
}

/** Says what a Redis may be found by; the tests of the search give their own. */
export interface RedisFinder {
  readonly find: (path: string) => string | undefined
  readonly install: (names: PackageNames, path: string) => Promise<boolean>
}

const FINDER: RedisFinder = { find: (path) => findBinary('redis-server', path), install: installPackages }

/**
 * Starts a real Redis, or uses the one of LOCKSTEP_TEST_REDIS_URL; nothing is kept on disk unless `appendOnly`.
 * Throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy, `LOCKSTEP_SRV_START` with its log.
 */
export function startRedis(
  options: RedisOptions = {},
  config: ServersConfig = readServersConfig(),
  finder: RedisFinder = FINDER,
): Promise<RedisServer> {
  const isPlain = options.needs === undefined && settings(options).length === settings({}).length && !options.appendOnly
  const binary = async (source: ServerSource) => {
    const file = finder.find(config.path)
    return file === undefined ? undefined : startBinary(file, options, source)
  }
  return firstOffer<RedisServer>(
    {
      what: 'Redis',
      remedy: `set LOCKSTEP_TEST_REDIS_URL, start Docker with the image ${IMAGE}, or ${installHint(PACKAGES)}`,
      sources: {
        env: () => Promise.resolve(isPlain && config.redisUrl !== undefined ? given(config.redisUrl) : undefined),
        docker: async () =>
          options.needs === undefined && (await dockerHasImage(IMAGE, config.dockerHost))
            ? startDocker(options)
            : undefined,
        binary: () => binary('binary'),
        package: async () => ((await finder.install(PACKAGES, config.path)) ? binary('package') : undefined),
      },
    },
    config,
  )
}
