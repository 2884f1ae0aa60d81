import { randomUUID } from 'node:crypto'
import { epochStart, generationOf, type Stamp, type Tag } from '@lockstep/schemas'
import { CacheError } from '../errors.ts'
import { fenceOf } from '../fence-record.ts'
import type { CacheStore, ClaimRequest, LeaseReply, LeaseRequest, StoreRequest, TouchReply } from '../store.ts'
import { invalidate } from './fence-writer.ts'
import type { MemoryServer } from './server.ts'

class MemoryStore implements CacheStore {
  readonly values: CacheStore['values']
  readonly fills: CacheStore['fills']
  readonly bus: CacheStore['bus']
  readonly sequencer: CacheStore['sequencer']
  readonly fences: CacheStore['fences']
  readonly #closed = new AbortController()
  readonly #server: MemoryServer
  readonly #nonce: () => string
  /** Tags whose fences are raised in a later tick. */
  readonly #waiting = new Set<string>()

  constructor(server: MemoryServer, nonce: () => string) {
    this.#server = server
    this.#nonce = nonce
    const { strings } = server
    this.values = {
      value: (key) => this.#later(() => strings.get(`v:${key}`)),
      fences: (tags) =>
        this.#later(() => ({
          records: tags.map((tag) => fenceOf(strings.get(`f:${tag}`))),
          appliedUpTo: server.watermark(),
        })),
    }
    this.fills = {
      lease: (request) => this.#later(() => this.#lease(request)),
      touch: (tags, stamp, longMs) => this.#later(() => this.#touch(tags, stamp, longMs)),
      store: (request) => this.#later(() => this.#store(request)),
      release: (key, lease) => this.#later(() => this.#release(key, lease)),
    }
    this.fences = {
      apply: (fences, shortFenceMs) => {
        for (const { tag } of fences) this.#waiting.add(tag)
        return this.#later(() => {
          for (const fence of fences) {
            this.#waiting.delete(fence.tag)
            invalidate(server, fence, { shortFenceMs, nonce: nonce() })
          }
        })
      },
      claim: (request) => (this.#waiting.has(request.key) ? this.#later(() => this.#claim(request)) : null),
    }
    this.sequencer = {
      draw: () => this.#later(() => server.draw()),
      publish: (stamp, fences) => this.#later(() => server.publish({ stamp, fences, intervalMs: 0 }, nonce())),
      beat: (intervalMs) => this.#later(() => void server.publish({ stamp: '', fences: [], intervalMs }, nonce())),
    }
    this.bus = {
      attach: () => this.#later(() => server.attach()),
      read: (after, blockMs) => server.read(after, blockMs, this.#closed.signal),
      ack: (processId, id) => this.#later(() => this.#ack(processId, id)),
      withdraw: (processId) => this.#later(() => void server.acks.delete(processId)),
    }
  }

  timeUs(): Promise<bigint> {
    return this.#later(() => this.#server.timeUs())
  }

  async connect(): Promise<void> {
    await Promise.resolve()
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await Promise.resolve()
  }

  /** Runs one atomic step; its effect and its answer come in a later tick, as over a socket. */
  async #later<T>(step: () => T): Promise<T> {
    await Promise.resolve()
    const result = step()
    await Promise.resolve()
    return result
  }

  #refuseWhenFull(): void {
    if (this.#server.isFull) throw new CacheError('LOCKSTEP_CACHE_REDIS', 'the memory server is full')
  }

  #lease(request: LeaseRequest): LeaseReply {
    this.#refuseWhenFull()
    const { strings } = this.#server
    const key = `l:${request.key}`
    const fenceKey = `f:${request.key}`
    const known = fenceOf(strings.get(fenceKey))
    const stamp = known && known.stamp > request.stamp ? known.stamp : request.stamp
    const lease = strings.get(key) === null ? `${stamp}:${request.holder}` : null
    if (lease !== null) {
      strings.set(key, lease, request.leaseMs)
      const fresh = `${epochStart(generationOf(stamp))}:${request.holder}`
      if (!known) strings.set(fenceKey, fresh, 2 * request.leaseMs)
    }
    const fence = fenceOf(strings.get(fenceKey))
    return { lease, fence, value: strings.get(`v:${request.key}`), evictionMark: '' }
  }

  #claim({ key, holder, stamp, untilMs }: ClaimRequest): LeaseReply {
    const { strings } = this.#server
    const fence = fenceOf(strings.get(`f:${key}`))
    const [wanted, there] = [`${stamp}:${holder}`, strings.get(`l:${key}`)]
    const isGranted = fence !== null && fence.stamp <= stamp && (there === null || there === wanted)
    const lease = isGranted ? wanted : null
    if (lease && there === null) strings.set(`l:${key}`, lease, untilMs - Number(this.#server.timeUs()) / 1_000)
    return { lease, fence, value: null, evictionMark: '' }
  }

  #touch(tags: readonly Tag[], stamp: Stamp, longMs: number): TouchReply {
    this.#refuseWhenFull()
    const newer: { tag: Tag; stamp: Stamp }[] = []
    const incarnations = tags.map((tag) => {
      const key = `f:${tag}`
      const known = fenceOf(this.#server.strings.get(key))
      if (known && known.stamp > stamp) {
        newer.push({ tag, stamp: known.stamp })
        return null
      }
      const incarnation = known?.incarnation ?? this.#nonce()
      if (known) this.#server.strings.prolong(key, longMs)
      else this.#server.strings.set(key, `${stamp}:${incarnation}`, longMs)
      return incarnation
    })
    return { incarnations, newer, evictionMark: '' }
  }

  #store(request: StoreRequest): boolean {
    this.#refuseWhenFull()
    const { strings } = this.#server
    if (strings.get(`l:${request.key}`) !== request.lease) return false
    strings.set(`v:${request.key}`, request.value, request.ttlMs)
    strings.prolong(`f:${request.key}`, request.fenceMs)
    strings.delete(`l:${request.key}`)
    return true
  }

  #release(key: string, lease: string): void {
    const { strings } = this.#server
    if (strings.get(`l:${key}`) === lease) strings.delete(`l:${key}`)
  }

  #ack(processId: string, id: string): number {
    const { acks } = this.#server
    const at = Number(this.#server.timeUs() / 1000n)
    return acks.set(processId, JSON.stringify({ id, at })).size
  }
}

/** Creates a reading process' view of a server in memory. */
export function createMemoryStore(server: MemoryServer, nonce: () => string = randomUUID): CacheStore {
  return new MemoryStore(server, nonce)
}
