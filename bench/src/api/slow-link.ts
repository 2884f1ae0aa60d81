import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A link to a server over which each request takes so much longer. */
export interface SlowLink {
  /** The URL of the server, by way of the link. */
  readonly url: string
  close(): void
}

/** Delays what clients send by `delayMs`; answers pass at once. */
export async function openSlowLink(target: string, delayMs: number): Promise<SlowLink> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host: hostname, port: Number(port), noDelay: true })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    // Timers of one length end in the order in which they began.
    client.on('data', (chunk) => setTimeout(() => upstream.write(chunk), delayMs))
    upstream.on('data', (chunk) => client.write(chunk))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = `${(server.address() as AddressInfo).port}`
  const close = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return { url: url.href, close }
}
