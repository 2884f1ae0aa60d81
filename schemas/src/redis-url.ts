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

/** A Redis Cluster: some of its nodes, which name the others. */
export interface ClusterAddress {
  readonly nodes: readonly RedisEndpoint[]
  readonly username?: string
  readonly password?: string
  readonly tls?: Record<string, never>
}

/** What a Redis URL begins with; for tables of options. */
export const REDIS_URL_PATTERN = '^rediss?(\\+(sentinel|cluster))?://'

/** Where Sentinel listens unless told otherwise. */
const SENTINEL_PORT = 26_379
const NODE_PORT = 6379

/** Scheme, credentials, hosts, name of the master, database, query. The hosts have no sign that the others need. */
const SENTINEL_URL = /^redis(s?)\+sentinel:\/\/(?:([^@/]*)@)?([^/?]+)\/([^/?]+)(?:\/(\d+))?(?:\?(.*))?$/
const CLUSTER_URL = /^redis(s?)\+cluster:\/\/(?:([^@/]*)@)?([^/?]+)\/?$/
const ENDPOINT = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/

/**
 * Reads `redis+sentinel://[user:password@]host[:port][,host[:port]…]/MASTER[/db][?sentinelUsername=…&sentinelPassword=…]`, the
 * credentials being those of the nodes; `rediss+sentinel` speaks TLS to nodes and Sentinels. Null for a URL of another
 * scheme, which is ioredis' to read. @throws RedisUrlError for one that names no host or no master.
 */
export function sentinelOf(url: string): SentinelAddress | null {
  if (!/^rediss?\+sentinel:/.test(url)) return null
  const [, tls = '', credentials = '', hosts = '', name = '', db, query = ''] = SENTINEL_URL.exec(url) ?? []
  if (name === '') throw new RedisUrlError()
  const parameters = new URLSearchParams(query)
  const [sentinelUsername, sentinelPassword] = [parameters.get('sentinelUsername'), parameters.get('sentinelPassword')]
  return {
    sentinels: endpointsOf(hosts, SENTINEL_PORT),
    name: decodeURIComponent(name),
    ...credentialsOf(credentials),
    ...(db === undefined ? {} : { db: Number(db) }),
    ...(sentinelUsername === null ? {} : { sentinelUsername }),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...(tls === '' ? {} : { enableTLSForSentinelMode: true, tls: {}, sentinelTLS: {} }),
  }
}

/**
 * Reads `redis+cluster://[user:password@]host[:port][,host[:port]…]`; `rediss+cluster` speaks TLS. Null for a URL of another
 * scheme. @throws RedisUrlError for one that names no host, or a database, of which a cluster has only one.
 */
export function clusterOf(url: string): ClusterAddress | null {
  if (!/^rediss?\+cluster:/.test(url)) return null
  const [, tls = '', credentials = '', hosts = ''] = CLUSTER_URL.exec(url) ?? []
  return {
    nodes: endpointsOf(hosts, NODE_PORT),
    ...credentialsOf(credentials),
    ...(tls === '' ? {} : { tls: {} }),
  }
}

function endpointsOf(hosts: string, port: number): RedisEndpoint[] {
  return hosts.split(',').map((text) => {
    const match = ENDPOINT.exec(text.trim())
    if (!match) throw new RedisUrlError()
    return { host: (match[1] ?? '').replaceAll(/[[\]]/g, ''), port: Number(match[2] ?? port) }
  })
}

function credentialsOf(text: string): { readonly username?: string; readonly password?: string } {
  const colon = text.indexOf(':')
  const [username, password] = colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  return {
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  }
}
