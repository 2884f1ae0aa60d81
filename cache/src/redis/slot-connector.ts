import { connect as connectPlain, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { slotOf, type ClusterAddress, type RedisEndpoint } from '@lockstep/schemas'
import { AbstractConnector, Redis } from 'ioredis'

/** Longest wait for one node to say where a slot is, ms: a hung one must not hold up the question to the next. */
const ANSWER_MS = 500
const GOODBYE_MS = 100
/** Between two rounds of questions: a failover takes seconds. */
const AGAIN_MS = 200

/** A row of `CLUSTER SLOTS`: first and last slot, their master, its replicas. No host means the one that was asked. */
type SlotRange = readonly [from: number, to: number, ...nodes: (readonly [host: string | null, port: number])[]]

/**
 * Connects to whichever master of a Redis Cluster holds the slot of a key, and looks for it anew before every connection,
 * so that one that was lost leads to the promoted replica, and one ended by `MOVED` to where the slot went.
 */
class SlotConnector extends AbstractConnector {
  readonly #address: ClusterAddress
  readonly #slot: number
  #nodes: readonly RedisEndpoint[]

  constructor(address: ClusterAddress, key: string) {
    super(GOODBYE_MS)
    this.#address = address
    this.#slot = slotOf(key)
    this.#nodes = address.nodes
  }

  /** Goes on until it has found the node: for the client a rejection would be the end. */
  async connect(emit: (type: string, error: Error) => void): Promise<Socket> {
    this.connecting = true
    const { host, port } = await this.#search(emit)
    const { tls } = this.#address
    const stream = tls ? connectTls({ host, port, ...tls }) : connectPlain({ host, port })
    stream.once('error', (error) => {
      this.firstError = error
    })
    this.stream = stream
    return stream
  }

  async #search(emit: (type: string, error: Error) => void): Promise<RedisEndpoint> {
    while (this.connecting) {
      try {
        const owner = await this.#owner()
        if (this.connecting) return owner
      } catch (error) {
        emit('error', error as Error)
        await pause(AGAIN_MS)
      }
    }
    throw new Error('the connection was closed while its node was looked for')
  }

  /** Asks one node after the other, another one first each time: one that was cut off knows only how it was before. */
  async #owner(): Promise<RedisEndpoint> {
    const reasons: unknown[] = []
    const [first, ...others] = this.#nodes
    if (first) this.#nodes = [...others, first]
    for (const node of this.#nodes) {
      try {
        const found = this.#find(await this.#slots(node), node)
        if (found) return found
      } catch (error) {
        reasons.push(error)
      }
    }
    throw new Error(`no node of the cluster knows who holds slot ${this.#slot}`, { cause: reasons.at(-1) })
  }

  #find(ranges: readonly SlotRange[], asked: RedisEndpoint): RedisEndpoint | null {
    const endpoints = ranges.flatMap(([, , ...nodes]) =>
      nodes.map(([host, port]) => ({ host: host || asked.host, port })),
    )
    const all = [...this.#nodes, ...endpoints].map((node) => [`${node.host}:${node.port}`, node] as const)
    this.#nodes = [...new Map(all).values()]
    const range = ranges.find(([from, to]) => from <= this.#slot && this.#slot <= to)
    return range?.[2] ? { host: range[2][0] || asked.host, port: range[2][1] } : null
  }

  async #slots({ host, port }: RedisEndpoint): Promise<readonly SlotRange[]> {
    const { username, password, tls } = this.#address
    const node = new Redis({
      host,
      port,
      ...(username && { username }),
      ...(password && { password }),
      ...(tls && { tls }),
      lazyConnect: true,
      enableReadyCheck: false,
      connectTimeout: ANSWER_MS,
      commandTimeout: ANSWER_MS,
      disconnectTimeout: GOODBYE_MS,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    })
    node.on('error', () => undefined)
    try {
      await node.connect()
      return (await node.call('cluster', 'slots')) as readonly SlotRange[]
    } finally {
      node.disconnect()
    }
  }
}

/** Makes the connector of a client all of whose keys lie in the slot of `key`. */
export function slotConnector(address: ClusterAddress, key: string): new () => AbstractConnector {
  return class extends SlotConnector {
    constructor() {
      super(address, key)
    }
  }
}
