import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CONFIG_ERRORS } from './config.ts'
import { defineErrors } from './errors.ts'
import type { MetricsRegistry } from './metrics.ts'

/** Whether the process should get work, and what else an operator wants to know. */
export interface Health {
  readonly ready: boolean
  /** Why not. */
  readonly reasons?: readonly string[] | undefined
}

export interface AdminServerOptions {
  readonly host: string
  /** 0 takes a free port. */
  readonly port: number
  readonly metrics: MetricsRegistry
  readonly health: () => Health
  readonly status: () => object
  /** Named in the error when the port is taken. */
  readonly portOption?: string | undefined
}

export interface AdminServer {
  readonly port: number
  close(): Promise<void>
}

const fail = defineErrors('runtime', CONFIG_ERRORS)

function sendJson(response: ServerResponse, status: number, body: object): void {
  const type = 'title' in body ? 'application/problem+json' : 'application/json'
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
  // LSNs, offsets and xids are bigints.
  response.end(JSON.stringify(body, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)))
}

function sendProblem(response: ServerResponse, status: number, title: string): void {
  if (response.headersSent) response.destroy()
  else sendJson(response, status, { type: 'about:blank', title, status })
}

async function answer(options: AdminServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return sendProblem(response, 405, 'Method not allowed')
  switch (request.url?.split('?')[0]) {
    case '/livez':
      return sendJson(response, 200, { alive: true })
    case '/readyz': {
      const { ready, reasons = [] } = options.health()
      return sendJson(response, ready ? 200 : 503, { ready, reasons })
    }
    case '/statusz':
      return sendJson(response, 200, options.status())
    case '/metrics': {
      const text = await options.metrics.text()
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
      response.end(text)
      return
    }
    default:
      return sendProblem(response, 404, 'Not found')
  }
}

/**
 * Serves /livez, /readyz, /statusz and /metrics on a port of its own, so that no load shedding reaches them.
 * @throws LockstepError LOCKSTEP_CFG_PORT_IN_USE.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { host, port, portOption = 'the admin port option of the service' } = options
  const server = createServer((request, response) => {
    // A probe that throws is answered with 500: looking at a process must never end it.
    answer(options, request, response).catch(() => sendProblem(response, 500, 'Probe failed'))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE' ? fail('LOCKSTEP_CFG_PORT_IN_USE', { port, option: portOption }, cause) : cause,
      ),
    )
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
