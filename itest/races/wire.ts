import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** Commands by which a connection shows that it listens to a bus. */
const LISTENS = /\r\n(?:p?subscribe|xread)\r\n/i

interface Link {
  readonly client: Socket
  readonly server: Socket
  isBus: boolean
}

/** Replies on their way that are being held. */
export interface HeldReplies {
  /** Resolves when the first reply was held. */
  readonly reached: Promise<void>
  release(): void
}

/** One process' connections to Redis, which a scenario can hold and cut. */
export class Wire {
  readonly #server: Server
  readonly #links = new Set<Link>()
  #isBusCut = false
  #busBytes = 0
  #held: { readonly arrived: () => void; readonly chunks: (readonly [Socket, Buffer])[] } | null = null

  private constructor(server: Server) {
    this.#server = server
  }

  /** Opens a wire to the server at `port`. */
  static async open(port: number, host = '127.0.0.1'): Promise<Wire> {
    const server = createServer({ noDelay: true })
    const wire = new Wire(server)
    server.on('connection', (client) => wire.#accept(client, connect({ port, host, noDelay: true })))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return wire
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Bytes that the bus has brought so far. */
  get busBytes(): number {
    return this.#busBytes
  }

  /** Connections that listen to the bus now. */
  get listeners(): number {
    return [...this.#links].filter(({ isBus }) => isBus).length
  }

  /** Holds every reply to a command; the bus goes on. */
  holdReplies(): HeldReplies {
    const arrival = Promise.withResolvers<void>()
    const held = { arrived: arrival.resolve, chunks: [] as (readonly [Socket, Buffer])[] }
    this.#held = held
    const release = (): void => {
      this.#held = null
      for (const [client, chunk] of held.chunks) if (!client.destroyed) client.write(chunk)
    }
    return { reached: arrival.promise, release }
  }

  /** Breaks the connections that listen, and every new one as soon as it does. */
  cutBus(): void {
    this.#isBusCut = true
    for (const link of this.#links) if (link.isBus) this.#break(link)
  }

  /** Lets listeners connect again. */
  mendBus(): void {
    this.#isBusCut = false
  }

  async close(): Promise<void> {
    for (const link of this.#links) this.#break(link)
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  #accept(client: Socket, server: Socket): void {
    const link: Link = { client, server, isBus: false }
    this.#links.add(link)
    for (const socket of [client, server]) {
      socket.on('error', () => undefined)
      socket.on('close', () => this.#break(link))
    }
    client.on('data', (chunk) => {
      if (!link.isBus && LISTENS.test(`\r\n${chunk.toString('latin1')}`)) link.isBus = true
      if (link.isBus && this.#isBusCut) this.#break(link)
      else server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (link.isBus) this.#busBytes += chunk.length
      if (this.#held && !link.isBus) {
        this.#held.chunks.push([client, chunk])
        this.#held.arrived()
      } else client.write(chunk)
    })
  }

  #break(link: Link): void {
    this.#links.delete(link)
    link.client.destroy()
    link.server.destroy()
  }
}
