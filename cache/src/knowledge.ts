import { EVERYTHING, generationOf, maxStamp, parseLsn, ZERO_STAMP, type BusFence, type Stamp } from '@lockstep/schemas'
import { FenceRing } from './fence-ring.ts'
import type { Freshness } from './freshness.ts'
import { Incarnations } from './incarnations.ts'
import type { KeyEvents } from './key-events.ts'
import type { LocalCache } from './l1/local-cache.ts'
import type { LocalLayer } from './l1/local-layer.ts'
import type { Kept } from './l1/record.ts'
import { Mirror } from './mirror.ts'
import { ReplayHistory } from './replay-history.ts'
import type { Counters } from './stats.ts'
import type { Attachment, BusMessage } from './store.ts'
import type { CacheClock, UnsafeSwitches } from './types.ts'

/** What `Knowledge` works on. */
export interface KnowledgeParts {
  readonly clock: CacheClock
  readonly l1: LocalLayer
  readonly freshness: Freshness
  readonly counters: Counters
  readonly keyEvents: KeyEvents
  readonly unsafe: UnsafeSwitches
  readonly maxFences?: number | undefined
}

/**
 * Everything this process knows of the database's order: newest stamp, fences, freshness, and the values that agree with
 * them. Every method is synchronous, so L1, mirror and ring never disagree between two ticks.
 */
export class Knowledge {
  readonly mirror: Mirror
  readonly ring = new FenceRing()
  readonly replays = new ReplayHistory()
  readonly incarnations = new Incarnations()
  readonly #parts: KnowledgeParts
  #newest: Stamp | null = null

  constructor(parts: KnowledgeParts) {
    this.#parts = parts
    this.mirror = new Mirror(parts.maxFences)
  }

  /** Greatest stamp learned; the stamp of every load that begins now. */
  get newest(): Stamp | null {
    return this.#newest
  }

  /** The last one known, also while detached: a writer goes on handing out tokens while Redis is away. */
  get generation(): number | null {
    return this.mirror.everything === ZERO_STAMP ? null : generationOf(this.mirror.everything)
  }

  learn(stamp: Stamp): void {
    this.#newest = this.#newest === null ? stamp : maxStamp(this.#newest, stamp)
  }

  /** Raises a fence and evicts what it covers. */
  raise(tag: string, stamp: Stamp): void {
    const { clock, l1, counters, keyEvents, unsafe } = this.#parts
    this.learn(stamp)
    keyEvents.noteKnown(tag, 'fenced', stamp)
    this.ring.push(tag, stamp)
    if (unsafe.ignoreFences) return
    this.mirror.raise(tag, stamp, clock.now())
    counters.evicted += l1.evict(tag, stamp)
  }

  /** Applies a bus entry: fences first, so that its echo never vouches for what it has just invalidated. */
  apply(message: BusMessage): void {
    for (const [tag, stamp] of message.fences as readonly BusFence[]) this.raise(tag, stamp as Stamp)
    if (message.watermark !== '') this.learn(message.watermark)
    this.#parts.freshness.applied(message.echo)
    this.#noteReplay(message)
  }

  #noteReplay({ watermark, lsn = '' }: BusMessage): void {
    if (lsn === '' || watermark === '') return
    const now = this.#parts.clock.now()
    const ageMs = this.#parts.freshness.ageMs(now)
    if (ageMs !== null) this.replays.note(parseLsn(lsn), watermark, now - ageMs)
  }

  /** Begins anew at a position of the bus: what L1 held may have missed fences. */
  attach(attachment: Attachment): void {
    const { clock, l1, freshness } = this.#parts
    l1.clear()
    this.replays.clear()
    this.incarnations.clear()
    freshness.reset()
    // Flights begun before may have missed what `start` sums up.
    this.ring.push(EVERYTHING, attachment.start)
    this.learn(attachment.start)
    if (attachment.watermark !== '') this.learn(attachment.watermark)
    this.mirror.attach(attachment, clock.now())
    freshness.applied(attachment.echo)
  }

  /** Forgets what fences might contradict: nothing vouches until the next `attach`. */
  detach(): void {
    this.#parts.l1.clear()
    this.#parts.freshness.reset()
    this.mirror.detach()
    this.#parts.counters.flushes += 1
  }

  /**
   * Keeps a value in a memory of this process if nothing known contradicts it. Values older than the mirror's start need `fencesReadAt`, the
   * ring's moment before their fences were read and found to agree.
   */
  keep(l1: LocalCache, kept: Kept, fencesReadAt: number | null): boolean {
    if (!this.agrees(kept.tags, kept.stamp, fencesReadAt)) return false
    l1.set(kept.tags[0] ?? '', kept)
    return true
  }

  /** Tells whether a value is valid by what this process knows; see `keep`. */
  agrees(tags: readonly string[], stamp: Stamp, fencesReadAt: number | null): boolean {
    const start = this.mirror.start
    if (start === null) return false
    if (this.mirror.covers(tags, stamp)) return false
    if (stamp >= start || this.#parts.unsafe.ignoreFences) return true
    if (fencesReadAt === null) return false
    return !this.ring.conflicts({ since: fencesReadAt }, tags, stamp)
  }
}
