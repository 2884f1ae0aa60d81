import {
  compareBusIds,
  epochStart,
  generationOf,
  stampOf,
  type BusFence,
  type Clock,
  type Stamp,
} from '@lockstep/schemas'
import { coarseField, isCoarse, planAdvance } from '../advance-plan.ts'
import { systemClock } from '../clock.ts'
import { CacheError } from '../errors.ts'
import {
  BUS_MAX_ENTRIES,
  type AdvanceBatch,
  type AdvanceReply,
  type AppliedWatermark,
  type OpenReply,
  type OpenRequest,
} from '../fence-writer.ts'
import type { Attachment, BusMessage } from '../store.ts'
import type { CacheClock } from '../types.ts'
import { attachmentOf, minimumEcho, minimumWatermark } from '../watermark.ts'
import { ExpiringMap } from './expiring-map.ts'

/** What a memory server needs. */
export interface MemoryServerOptions {
  readonly clock?: CacheClock | undefined
  /** Longest bus, exactly. */
  readonly busMaxEntries?: number | undefined
}

/**
 * Redis as this library uses it, in this process' memory: the same steps as the scripts, each atomic because it does not
 * await. Several stores and fence writers may share one. The contract suite runs on both.
 */
export class MemoryServer {
  readonly clock: CacheClock
  readonly strings: ExpiringMap
  readonly acks = new Map<string, string>()
  /** When true, everything that fills is refused, as by a Redis at `maxmemory`. */
  isFull = false
  #w = new Map<string, string>()
  #bus: BusMessage[] = []
  #sequence = 0
  readonly #busMaxEntries: number
  readonly #waiting = new Set<() => void>()

  constructor(options: MemoryServerOptions = {}) {
    this.clock = options.clock ?? systemClock
    this.strings = new ExpiringMap(() => this.clock.now())
    this.#busMaxEntries = options.busMaxEntries ?? BUS_MAX_ENTRIES
  }

  timeUs(): bigint {
    return BigInt(Math.floor(this.clock.wall() * 1000))
  }

  /** Forgets everything, as FLUSHALL does. */
  flushAll(): void {
    this.strings.clear()
    this.acks.clear()
    this.#w = new Map()
    this.#bus = []
  }

  /** Copies what a replica has that receives no more; the answer promotes it. */
  fallBehind(): () => void {
    const [restore, acks, w, bus] = [this.strings.save(), [...this.acks], new Map(this.#w), [...this.#bus]]
    return () => {
      restore()
      this.acks.clear()
      for (const [processId, ack] of acks) this.acks.set(processId, ack)
      this.#w = new Map(w)
      this.#bus = [...bus]
    }
  }

  /** Drops every bus entry, as a trim that overtook the readers does. */
  trimBus(): void {
    this.#bus = []
  }

  advance(batch: AdvanceBatch, nonce: string): AdvanceReply {
    const w = this.#w
    if (w.size === 0) return { kind: 'absent' }
    const stands = w.get(`p:${batch.partition}`)
    if (stands === undefined) return { kind: 'unknown' }
    if (stands !== batch.from.toString()) return { kind: 'stands', offset: BigInt(stands) }
    w.set(`p:${batch.partition}`, batch.to.toString())
    const { greatest, raises } = planAdvance(batch)
    if (greatest !== '') this.#raise('max', greatest)
    for (const [field, stamp] of raises) this.#raise(field, stamp)
    const generation = Number(w.get('g'))
    if (batch.watermark && generationOf(batch.watermark.stamp) >= generation) {
      this.#watermark(batch.partition, batch.watermark)
    }
    const newest = batch.watermark && batch.watermark.stamp > greatest ? batch.watermark.stamp : greatest
    const isOutdated = newest !== '' && generationOf(newest) < generation
    const busId = this.#append(nonce, w.get('last') ?? '', batch.fences, { brought: batch.watermark })
    return { kind: 'applied', busId, ...(isOutdated ? { outdatedBy: generation } : {}) }
  }

  open(flush: OpenRequest, nonce: string): OpenReply {
    const known = Number(this.#w.get('g') ?? '-1')
    const field = `p:${flush.partition}`
    if (known > flush.generation) {
      if (this.#w.get(field) === `${flush.next - 1n}`) this.#w.set(field, `${flush.next}`)
      return { kind: 'older', busId: this.#w.get('id') ?? '', generation: known }
    }
    const isNew = known < flush.generation
    if (isNew && flush.isRepeated === true) return { kind: 'absent' }
    const start = epochStart(flush.generation)
    if (isNew) {
      const { generation, partitions } = flush
      this.#w = new Map([
        ['g', `${generation}`],
        ['n', `${partitions}`],
        ['*', start],
        ['max', start],
      ])
    } else {
      const stands = this.#w.get(field)
      if (stands === undefined ? flush.isRepeated === true : BigInt(stands) !== flush.next - 1n) {
        return { kind: 'joined', busId: this.#w.get('id') ?? '' }
      }
    }
    const predecessor = this.#w.get('last') ?? ''
    this.#w.set(field, flush.next.toString())
    const busId = this.#append(nonce, predecessor, [['*', start, 0]], { isFlush: true })
    return { kind: isNew ? 'opened' : 'joined', busId }
  }

  /** See the script DRAW. */
  draw(): Stamp {
    this.#beginSequence()
    this.#w.set('q', `${Number(this.#w.get('q')) + 1}`)
    return this.#sequenceStamp()
  }

  #beginSequence(): void {
    const w = this.#w
    if (w.size === 0) {
      const generation = Math.floor(this.clock.wall() / 1000)
      const start = epochStart(generation)
      for (const [field, value] of [
        ['g', `${generation}`],
        ['n', '1'],
        ['q', '0'],
        ['*', start],
        ['max', start],
      ] as const) {
        w.set(field, value)
      }
    }
    if (w.has('q')) return
    throw new CacheError('LOCKSTEP_CACHE_REDIS', 'a pipeline keeps this namespace: set coherence to log')
  }

  /** See the script PUBLISH. */
  publish(entry: { stamp: Stamp | ''; fences: readonly BusFence[]; intervalMs: number }, nonce: string): boolean {
    this.#beginSequence()
    const nowUs = this.timeUs()
    const ageMs = Number(nowUs - BigInt(this.#w.get('r:0') ?? '0')) / 1000
    if (entry.stamp === '' && ageMs >= 0 && ageMs < entry.intervalMs) return true
    if (entry.stamp !== '') {
      if (generationOf(entry.stamp) !== Number(this.#w.get('g'))) return false
      for (const [tag] of entry.fences) if (isCoarse(tag)) this.#raise(coarseField(tag), entry.stamp)
      this.#raise('max', entry.stamp)
    }
    this.#w.set('m:0', this.#sequenceStamp())
    this.#w.set('r:0', nowUs.toString())
    this.#append(nonce, this.#w.get('last') ?? '', entry.fences)
    return true
  }

  #sequenceStamp(): Stamp {
    const q = Number(this.#w.get('q')).toString(16).padStart(16, '0')
    return stampOf(Number(this.#w.get('g')), `${q}ffff` as Clock)
  }

  /** Least watermark of all partitions; '' unless each has delivered one. */
  watermark(): Stamp | '' {
    return minimumWatermark(Object.fromEntries(this.#w))
  }

  attach(): Attachment | null {
    return attachmentOf(Object.fromEntries(this.#w))
  }

  /** Entries behind `after`; waits for one at most `blockMs`. */
  async read(after: string, blockMs: number, signal?: AbortSignal): Promise<readonly BusMessage[]> {
    const behind = (): BusMessage[] => this.#bus.filter(({ id }) => compareBusIds(id, after) > 0)
    const now = behind()
    if (now.length > 0) return now
    const waiter = new AbortController()
    const wake = (): void => waiter.abort()
    this.#waiting.add(wake)
    await this.clock.sleep(blockMs, signal ? AbortSignal.any([waiter.signal, signal]) : waiter.signal)
    this.#waiting.delete(wake)
    return behind()
  }

  #watermark(partition: number, watermark: AppliedWatermark): void {
    this.#raise(`m:${partition}`, watermark.stamp)
    const known = this.#w.get(`r:${partition}`)
    if (watermark.echo !== '' && (known === undefined || BigInt(known) < BigInt(watermark.echo))) {
      this.#w.set(`r:${partition}`, watermark.echo)
    }
    this.#w.set('n', `${watermark.partitions}`)
  }

  #raise(field: string, stamp: Stamp): void {
    const known = this.#w.get(field)
    if (known === undefined || known < stamp) this.#w.set(field, stamp)
  }

  #append(
    nonce: string,
    predecessor: string,
    fences: readonly BusFence[],
    how: { readonly isFlush?: boolean; readonly brought?: AppliedWatermark | undefined } = {},
  ): string {
    this.#sequence += 1
    const id = `${Math.floor(this.clock.wall())}-${this.#sequence}`
    const fields = Object.fromEntries(this.#w)
    const watermark = how.isFlush ? '' : minimumWatermark(fields)
    const isBrought = watermark !== '' && how.brought !== undefined && watermark <= how.brought.stamp
    this.#bus.push({
      id,
      nonce,
      predecessor,
      fences,
      watermark,
      echo: how.isFlush ? '' : minimumEcho(fields),
      lsn: isBrought ? (how.brought?.lsn ?? '') : '',
    })
    if (this.#bus.length > this.#busMaxEntries) this.#bus.shift()
    this.#w.set('last', nonce)
    this.#w.set('id', id)
    for (const wake of this.#waiting) wake()
    return id
  }
}

/** Creates an empty server in memory. */
export function createMemoryServer(options?: MemoryServerOptions): MemoryServer {
  return new MemoryServer(options)
}
