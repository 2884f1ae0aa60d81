import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fail } from '../errors.ts'
import { EdgeCache } from './edge-cache.ts'
import type { EdgeCacheOptions } from './edge-cache.ts'
import { handlePurge } from './purge-api.ts'

/** Options of the mini edge. Ports default to 0: any free one. */
export interface MiniEdgeOptions extends EdgeCacheOptions {
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Port of Fastly's purge API, apart from the public one. */
  readonly purgePort?: number | undefined
  /** Default `edge`. */
  readonly serviceId?: string | undefined
  readonly token: string
}

/** A running mini edge. */
export interface MiniEdge {
  readonly url: string
  readonly port: number
  readonly purgePort: number
  /** Base of the purge API: `http://HOST:PORT/service/ID`. */
  readonly purgeUrl: string
  status(): Readonly<Record<string, number>>
  stop(): Promise<void>
}

async function listen(handler: RequestListener, port: number, host: string): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 60_000 }, handler)
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? fail('LOCKSTEP_CDN_EDGE_PORT_IN_USE', { port }, error) : error),
    )
    server.listen(port, host, () => resolve(server))
  })
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

const portOf = (server: Server) => (server.address() as AddressInfo).port

/**
 * Starts a small shared cache in front of an origin, purged through Fastly's API on a port of its own.
 * @throws RangeError without a token, LOCKSTEP_CDN_EDGE_PORT_IN_USE.
 */
export async function startMiniEdge(options: MiniEdgeOptions): Promise<MiniEdge> {
  if (options.token === '') throw new RangeError('the purge token must not be empty: anybody could purge')
  const host = options.host ?? '127.0.0.1'
  const serviceId = options.serviceId ?? 'edge'
  const cache = new EdgeCache(options)
  const edge = await listen((request, response) => cache.handle(request, response), options.port ?? 0, host)
  const purgeHandler: RequestListener = (request, response) => {
    handlePurge(cache, { serviceId, token: options.token }, { request, response }).catch(() => response.destroy())
  }
  const purger = await listen(purgeHandler, options.purgePort ?? 0, host).catch(async (error: unknown) => {
    await closeServer(edge)
    throw error
  })
  return {
    url: `http://${host}:${portOf(edge)}`,
    port: portOf(edge),
    purgePort: portOf(purger),
    purgeUrl: `http://${host}:${portOf(purger)}/service/${serviceId}`,
    status: () => cache.status(),
    stop: async () => {
      await Promise.all([closeServer(edge), closeServer(purger)])
      cache.close()
    },
  }
}
