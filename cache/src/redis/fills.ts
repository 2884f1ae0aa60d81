import type { RedisKeys, Stamp, Tag } from '@lockstep/schemas'
import { fenceOf } from '../fence-record.ts'
import type { FillStore, LeaseReply, LeaseRequest, StoreRequest, TouchReply } from '../store.ts'
import { Batch } from './batch.ts'
import { call, type Command } from './pipeline.ts'
import { LEASE, RELEASE, STORE, TOUCH } from './scripts.ts'

/** What the writing half of a reading process works with. */
export interface FillParts {
  readonly keys: RedisKeys
  /** Runs commands in one round trip. */
  readonly run: (commands: readonly Command[]) => Promise<unknown[]>
  /** Tells whether the server may evict fences; then it is asked how many keys it has evicted. */
  readonly mayEvict: () => boolean
  /** Counts the connections so far: two nodes, and a node before and after its restart, are never compared. */
  readonly connections: () => number
  /** Names incarnations; must never repeat. */
  readonly nonce: () => string
}

interface ReleaseRequest {
  readonly key: string
  readonly lease: string
}

/** Leases or values per call: they hold up Redis for about 0.3 ms. */
const MOST = 64

/** Leases, touches, stores and releases; those of one turn of the event loop travel together, but for touches. */
export class RedisFills implements FillStore {
  readonly #parts: FillParts
  readonly #leases: Batch<LeaseRequest, LeaseReply>
  readonly #stores: Batch<StoreRequest, boolean>
  readonly #releases: Batch<ReleaseRequest, void>

  constructor(parts: FillParts) {
    this.#parts = parts
    this.#leases = new Batch(MOST, (requests) => this.#lease(requests))
    this.#stores = new Batch(MOST, (requests) => this.#store(requests))
    this.#releases = new Batch(MOST, (requests) => this.#release(requests))
  }

  lease(request: LeaseRequest): Promise<LeaseReply> {
    return this.#leases.ask(request)
  }

  async touch(tags: readonly Tag[], stamp: Stamp, longMs: number): Promise<TouchReply> {
    const { keys, nonce, run } = this.#parts
    const life = Math.ceil(longMs)
    const touches = tags.map((tag) => call(TOUCH, [keys.fence(tag)], [stamp, life, nonce()]))
    const replies = await run([...touches, ...this.#evictionProbe()])
    const newer: { tag: Tag; stamp: Stamp }[] = []
    const incarnations = tags.map((tag, index) => {
      const [isTouched, detail] = replies[index] as [number, string]
      if (isTouched === 1) return detail
      newer.push({ tag, stamp: detail as Stamp })
      return null
    })
    return { incarnations, newer, evictionMark: this.#mark(replies.at(-1)) }
  }

  store(request: StoreRequest): Promise<boolean> {
    return this.#stores.ask(request)
  }

  release(key: string, lease: string): Promise<void> {
    return this.#releases.ask({ key, lease })
  }

  async #lease(requests: readonly LeaseRequest[]): Promise<LeaseReply[]> {
    const { keys, run } = this.#parts
    const names: string[] = []
    const args: (string | number)[] = []
    for (const { key, holder, stamp, leaseMs } of requests) {
      names.push(keys.lease(key), keys.fence(key), keys.value(key))
      args.push(holder, stamp, leaseMs)
    }
    const replies = await run([...this.#evictionProbe(), call(LEASE, names, args)])
    const evictionMark = this.#mark(replies[0])
    return (replies.at(-1) as [string, string, string | null][]).map(([lease, fence, value]) => {
      return { lease: lease === '' ? null : lease, fence: fenceOf(fence), value, evictionMark }
    })
  }

  async #store(requests: readonly StoreRequest[]): Promise<boolean[]> {
    const { keys, run } = this.#parts
    const names: string[] = []
    const args: (string | number)[] = []
    for (const { key, lease, value, ttlMs, fenceMs } of requests) {
      names.push(keys.value(key), keys.lease(key), keys.fence(key))
      args.push(lease, value, Math.ceil(ttlMs), Math.ceil(fenceMs))
    }
    const [stored] = (await run([call(STORE, names, args)])) as [number[]]
    return stored.map((isStored) => isStored === 1)
  }

  async #release(requests: readonly ReleaseRequest[]): Promise<void[]> {
    const { keys, run } = this.#parts
    const names = requests.map(({ key }) => keys.lease(key))
    const leases = requests.map(({ lease }) => lease)
    await run([call(RELEASE, names, leases)])
    return []
  }

  #evictionProbe(): Command[] {
    return this.#parts.mayEvict() ? [['info', 'stats']] : []
  }

  #mark(reply: unknown): string {
    return this.#parts.mayEvict() ? `${this.#parts.connections()}:${evictedKeys(reply)}` : ''
  }
}

function evictedKeys(info: unknown): string {
  return /^evicted_keys:(\d+)/m.exec(String(info))?.[1] ?? 'unknown'
}
