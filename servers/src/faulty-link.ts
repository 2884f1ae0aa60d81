import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setImmediate, setTimeout as pause } from 'node:timers/promises'

/** What a link does to the bytes of both directions, under Toxiproxy's names. */
export type Toxic =
  /** Each chunk arrives so much later. */
  | { readonly type: 'latency'; readonly latencyMs: number }
  /** Nothing arrives, and nobody is told: a black hole. Healing it ends the connections, for what was lost is lost. */
  | { readonly type: 'timeout' }
  /** Ends the connections there are, and resets each new one by its first bytes. */
  | { readonly type: 'reset_peer' }
  /** Chunks arrive in slices of about so many bytes. */
  | { readonly type: 'slicer'; readonly sliceBytes: number }

/** A port of 127.0.0.1 that leads to a server, until it suffers from something. */
export interface FaultyLink {
  readonly port: number
  /** Sets the server's port, for connections from then on; one that names its own address has to know the link's first. */
  leadTo(port: number): Promise<void>
  /** Old connections suffer as well as new ones; replaces what the link suffered from before. */
  suffer(toxic: Toxic): Promise<void>
  heal(): Promise<void>
}

/** Opens links, and ends them all. */
export interface FaultyLinks {
  open(): Promise<FaultyLink>
  stop(): Promise<void>
}

class Connection {
  readonly #client: Socket
  readonly #server: Socket
  readonly #toxic: () => Toxic | null
  // What one direction still has to deliver: nothing overtakes.
  readonly #tails = new Map<Socket, Promise<void>>()

  constructor(client: Socket, server: Socket, toxic: () => Toxic | null, ended: () => void) {
    this.#client = client
    this.#server = server
    this.#toxic = toxic
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#tails.set(to, Promise.resolve())
      from.on('data', (chunk) => this.#pass(chunk, to))
      from.on('error', () => this.#end())
      from.on('close', () => {
        ended()
        // What was sent before the end still arrives, unless nothing does.
        void this.#tails.get(to)?.then(() => to.end())
      })
    }
  }

  #end(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  #pass(chunk: Buffer, to: Socket): void {
    const toxic = this.#toxic()
    if (toxic?.type === 'timeout') return
    if (toxic?.type === 'reset_peer') return this.reset()
    const dueAt = performance.now() + (toxic?.type === 'latency' ? toxic.latencyMs : 0)
    const sliceBytes = toxic?.type === 'slicer' ? toxic.sliceBytes : chunk.length
    const deliver = async (): Promise<void> => {
      const waitMs = dueAt - performance.now()
      if (waitMs > 0) await pause(waitMs)
      for (let from = 0; from < chunk.length && to.writable; from += sliceBytes) {
        to.write(chunk.subarray(from, from + sliceBytes))
        if (sliceBytes < chunk.length) await setImmediate()
      }
    }
    this.#tails.set(to, (this.#tails.get(to) ?? Promise.resolve()).then(deliver))
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#server.resetAndDestroy()
  }
}

class OwnLink implements FaultyLink {
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  #to = 0
  #toxic: Toxic | null = null

  constructor(server: Server) {
    this.#server = server
    server.on('connection', (client) => {
      const upstream = connect({ port: this.#to, host: '127.0.0.1', noDelay: true })
      const connection = new Connection(
        client,
        upstream,
        () => this.#toxic,
        () => this.#connections.delete(connection),
      )
      this.#connections.add(connection)
    })
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  leadTo(port: number): Promise<void> {
    this.#to = port
    return Promise.resolve()
  }

  suffer(toxic: Toxic): Promise<void> {
    this.#toxic = toxic
    if (toxic.type === 'reset_peer') this.#reset()
    return Promise.resolve()
  }

  heal(): Promise<void> {
    if (this.#toxic?.type === 'timeout') this.#reset()
    this.#toxic = null
    return Promise.resolve()
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#reset()
    await closed
  }

  #reset(): void {
    for (const connection of this.#connections) connection.reset()
  }
}

/** Links of this process, where no Toxiproxy runs. */
export function ownLinks(): FaultyLinks {
  const links: OwnLink[] = []
  return {
    open: async () => {
      const server = createServer({ noDelay: true }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const link = new OwnLink(server)
      links.push(link)
      return link
    },
    stop: async () => {
      await Promise.all(links.splice(0).map((link) => link.close()))
    },
  }
}
