import { homedir } from 'node:os'
import { join } from 'node:path'
import { ServersError } from './errors.ts'

/** Names where a server may come from, best first in {@link DEFAULT_ORDER}. */
export type ServerSource = 'env' | 'docker' | 'binary' | 'package'

/** Tries what the caller was given before what has to be installed. */
export const DEFAULT_ORDER: readonly ServerSource[] = ['env', 'docker', 'binary', 'package']

/** Holds what this room reads from the environment. */
export interface ServersConfig {
  readonly order: readonly ServerSource[]
  readonly postgresUrl?: string | undefined
  readonly postgres15Url?: string | undefined
  readonly redisUrl?: string | undefined
  readonly kafkaBrokers?: readonly string[] | undefined
  /** `DOCKER_HOST`, or the usual socket. */
  readonly dockerHost: string
  /** Keeps what is costly to make again: Kafka's jars, its class archive, its formatted directory. */
  readonly cacheDir: string
  readonly path: string
}

const isSource = (word: string): word is ServerSource => (DEFAULT_ORDER as readonly string[]).includes(word)

function parseOrder(text: string | undefined): readonly ServerSource[] {
  if (text === undefined || text.trim() === '') return DEFAULT_ORDER
  const words = text.split(',').map((word) => word.trim())
  const unknown = words.filter((word) => !isSource(word))
  if (unknown.length > 0) {
    throw new ServersError(
      'LOCKSTEP_SRV_ORDER',
      `LOCKSTEP_SERVERS names ${unknown.join(', ')}; write some of ${DEFAULT_ORDER.join(', ')}`,
    )
  }
  return words.filter(isSource)
}

/** Reads the environment; throws `LOCKSTEP_SRV_ORDER` when `LOCKSTEP_SERVERS` names an unknown source. */
export function readServersConfig(env: NodeJS.ProcessEnv = process.env): ServersConfig {
  const brokers = env['LOCKSTEP_TEST_KAFKA_BROKERS']?.split(',').map((broker) => broker.trim())
  return {
    order: parseOrder(env['LOCKSTEP_SERVERS']),
    postgresUrl: env['LOCKSTEP_TEST_POSTGRES_URL'] || undefined,
    postgres15Url: env['LOCKSTEP_TEST_POSTGRES15_URL'] || undefined,
    redisUrl: env['LOCKSTEP_TEST_REDIS_URL'] || undefined,
    kafkaBrokers: brokers?.[0] ? brokers : undefined,
    dockerHost: env['DOCKER_HOST'] || 'unix:///var/run/docker.sock',
    cacheDir: join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'lockstep'),
    path: env['PATH'] ?? '',
  }
}

/** Turns off testcontainers' own reaper: its image is on no mirror, and ours (reaper.ts) removes the containers. */
export function disableForeignReaper(): void {
  process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true'
}
