import { RedisUrlError } from './errors.ts'

/** A host and its port. */
export interface RedisEndpoint {
  readonly host: string
  readonly port: number
}

/** A master that Sentinel watches, in the words of ioredis' options. */
export interface SentinelAddress {
  readonly sentinels: RedisEndpoint[]
  /** What the Sentinels call the master. */
  readonly name: string
  readonly username?: string
  readonly password?: string
  readonly db?: number
  readonly sentinelUsername?: string
  readonly sentinelPassword?: string
  readonly enableTLSForSentinelMode?: true
  readonly tls?: Record<string, never>
  readonly sentinelTLS?: Record<string, never>
}

/** What a Redis URL begins with; for tables of options. */
export const REDIS_URL_PATTERN = '^rediss?(\\+sentinel)?://'

/** Where Sentinel listens unless told otherwise. */
const SENTINEL_PORT = 26_379

/** Scheme, credentials, hosts, name of the master, database, query. The hosts have no sign that the others need. */
const SENTINEL_URL = /^redis(s?)\+sentinel:\/\/(?:([^@/]*)@)?([^/?]+)\/([^/?]+)(?:\/(\d+))?(?:\?(.*))?$/
const ENDPOINT = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/

/**
 * Reads `redis+sentinel://[user:password@]host[:port][,host[:port]…]/MASTER[/db][?sentinelUsername=…&sentinelPassword=…]`, the
 * credentials being those of the nodes; `rediss+sentinel` speaks TLS to nodes and Sentinels. Null for a URL of another
 * scheme, which is ioredis' to read. @throws RedisUrlError for one that names no host or no master.
 */
export function sentinelOf(url: string): SentinelAddress | null {
  if (!/^rediss?\+sentinel:/.test(url)) return null
  const [, tls = '', credentials = '', hosts = '', name = '', db, query = ''] = SENTINEL_URL.exec(url) ?? []
  const endpoints = hosts.split(',').map((text) => ENDPOINT.exec(text.trim()))
  if (name === '' || endpoints.includes(null)) throw new RedisUrlError()
  const [username = '', password = ''] = splitOnce(credentials, ':').map(decodeURIComponent)
  const parameters = new URLSearchParams(query)
  const [sentinelUsername, sentinelPassword] = [parameters.get('sentinelUsername'), parameters.get('sentinelPassword')]
  return {
    sentinels: endpoints.map((match) => ({
      host: (match?.[1] ?? '').replaceAll(/[[\]]/g, ''),
      port: Number(match?.[2] ?? SENTINEL_PORT),
    })),
    name: decodeURIComponent(name),
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(db === undefined ? {} : { db: Number(db) }),
    ...(sentinelUsername === null ? {} : { sentinelUsername }),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...(tls === '' ? {} : { enableTLSForSentinelMode: true, tls: {}, sentinelTLS: {} }),
  }
}

function splitOnce(text: string, at: string): string[] {
  const index = text.indexOf(at)
  return index === -1 ? [text] : [text.slice(0, index), text.slice(index + 1)]
}
