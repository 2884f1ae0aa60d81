import { classOf, classTag, encodeSurrogateKey, EVERYTHING, isClassTag } from '@lockstep/schemas'
import type { Stamp, Tag } from '@lockstep/schemas'
import { Request } from './batch.ts'
import type { PurgeLimits } from './ports.ts'
import type { Purge } from './purge.ts'
import { SlotMap } from './slot-map.ts'

/** How one purge ended at one provider. `startedMs` is when its request was sent. */
export type PurgeOutcome =
  | { readonly kind: 'purged'; readonly startedMs: number }
  | { readonly kind: 'refused'; readonly detail: string }

/** What shares a turn: live work of the log, rebounds of any work, and the first purges of orders. */
export type LaneName = 'live' | 'rebound' | 'manual' | 'replay'

/** Lanes, the more urgent first, with the requests of each among nine while all have work. */
export const LANE_WEIGHTS: readonly (readonly [LaneName, number])[] = [
  ['live', 4],
  ['manual', 2],
  ['rebound', 2],
  ['replay', 1],
]

/** One purge, and what is told once how it ended at a provider. */
export interface Waiter {
  readonly purge: Purge
  onOutcome(outcome: PurgeOutcome, provider: string): void
}

/** All purges of one tag that wait for the same request. Only the queue and the dispatcher change it. */
export interface Slot {
  readonly key: string
  readonly tag: Tag
  readonly lane: LaneName
  /** The greatest of its purges. */
  stamp: Stamp
  /** For age and backlog: when the oldest of them arrived. */
  arrivedMs: number
  /** Requests it was part of. */
  attempts: number
  readonly waiters: Waiter[]
}

/** What one request is to purge. */
export interface QueuedRequest {
  /** The lane whose turn it is; others may have filled up what it left free. */
  readonly lane: LaneName
  readonly isEverything: boolean
  readonly slots: readonly Slot[]
}

const RANK: Readonly<Record<LaneName, number>> = { live: 0, manual: 1, rebound: 2, replay: 3 }

/** Purges waiting for one provider, one slot per tag; what was merged shares a request. */
export class PurgeQueue {
  readonly #limits: PurgeLimits
  /** A request costs the same however many keys it has, so that none should travel half empty. */
  readonly #fills: boolean
  readonly #lanes: Record<LaneName, SlotMap> = {
    live: new SlotMap(),
    manual: new SlotMap(),
    rebound: new SlotMap(),
    replay: new SlotMap(),
  }
  readonly #credits: Record<LaneName, number> = { live: 0, manual: 0, rebound: 0, replay: 0 }
  /** Tags of whole classes that wait: what they cover rides along. */
  readonly #coarse = new Map<Tag, LaneName>()
  #halves: QueuedRequest[] = []

  constructor(limits: PurgeLimits) {
    this.#limits = limits
    this.#fills = limits.rates.some(({ unit }) => unit === 'requests')
  }

  /** Tags waiting. */
  get size(): number {
    const { live, manual, rebound, replay } = this.#lanes
    const halves = this.#halves.length === 0 ? 0 : this.#halves.reduce((sum, half) => sum + half.slots.length, 0)
    return live.size + manual.size + rebound.size + replay.size + halves
  }

  /** Tags waiting by lane. */
  sizes(): Readonly<Record<LaneName, number>> {
    const { live, manual, rebound, replay } = this.#lanes
    return { live: live.size, manual: manual.size, rebound: rebound.size, replay: replay.size }
  }

  /** When the oldest live purge arrived; null when none waits. Slots stand in the order of their first purge. */
  get oldestMs(): number | null {
    return this.#lanes.live.first()?.arrivedMs ?? null
  }

  /** Keys of the next request if it were taken now, at most `maxKeys`. */
  get nextKeys(): number {
    return Math.min(this.#halves[0]?.slots.length ?? this.size, this.#limits.maxKeys)
  }

  add(waiter: Waiter): void {
    const { tag, key, arrivedMs, phase, lane: origin, command } = waiter.purge
    const lane = phase === 'rebound' ? 'rebound' : origin
    this.#join({ key, tag, lane, stamp: command.stamp, arrivedMs, attempts: 0, waiters: [waiter] })
  }

  /** Puts back what was not purged, ahead of what came later. */
  putBack({ slots }: { readonly slots: readonly Slot[] }): void {
    const returned = new Map<LaneName, Slot[]>()
    for (const slot of slots) {
      const list = returned.get(slot.lane)
      if (list) list.push(slot)
      else returned.set(slot.lane, [slot])
    }
    for (const [lane, list] of returned) {
      const later = [...this.#lanes[lane].values()]
      this.#lanes[lane].clear()
      for (const slot of [...list, ...later]) this.#join(slot)
    }
  }

  /** Takes out what the log wants purged for an older change than these were purged for. What somebody ordered stays. */
  takeOlder(purged: readonly Slot[]): Slot[] {
    const { live, rebound } = this.#lanes
    const older: Slot[] = []
    if (live.size + rebound.size === 0) return older
    for (const slot of purged) {
      for (const lane of [live, rebound]) {
        const waiting = lane.get(slot.tag)
        if (!waiting || !isOlder(waiting, slot)) continue
        lane.delete(slot.tag)
        if (this.#coarse.size > 0) this.#coarse.delete(slot.tag)
        older.push(waiting)
      }
    }
    return older
  }

  /** Has the halves of a refused request sent by themselves, before anything else. */
  putHalves(request: QueuedRequest, halves: readonly (readonly Slot[])[]): void {
    this.#halves.push(...halves.map((slots) => ({ ...request, slots })))
  }

  /** Takes the next request of at most `maxKeys`; null when nothing waits. EVERYTHING takes along all that waits. */
  take(maxKeys = this.#limits.maxKeys): QueuedRequest | null {
    const half = this.#halves[0]
    if (half && half.slots.length <= maxKeys) return this.#halves.shift() ?? null
    if (half) {
      this.#halves[0] = { ...half, slots: half.slots.slice(maxKeys) }
      return { ...half, slots: half.slots.slice(0, maxKeys) }
    }
    const lane = this.#nextLane()
    if (!lane) return null
    if (LANE_WEIGHTS.some(([name]) => this.#lanes[name].get(EVERYTHING))) return this.#takeAll(lane)
    const request = new Request<Slot>({ ...this.#limits, maxKeys })
    let hasRoom = fill(request, this.#lanes[lane])
    if (this.#fills) for (const [other] of LANE_WEIGHTS) if (hasRoom) hasRoom = fill(request, this.#lanes[other])
    for (const slot of request.items) if (this.#coarse.size > 0) this.#coarse.delete(slot.tag)
    return { lane, isEverything: false, slots: request.items }
  }

  /** The class with the most tags waiting among those that `mayCollapse`, and how many; null when there is none. */
  largestClass(mayCollapse: (tagClass: string) => boolean): { tagClass: string; tags: number } | null {
    const counts = new Map<string, number>()
    for (const [lane] of LANE_WEIGHTS)
      for (const { tag } of this.#lanes[lane].values())
        if (tag !== EVERYTHING && !isClassTag(tag)) counts.set(classOf(tag), (counts.get(classOf(tag)) ?? 0) + 1)
    let largest: { tagClass: string; tags: number } | null = null
    for (const [tagClass, tags] of counts)
      if (mayCollapse(tagClass) && tags > (largest?.tags ?? 1)) largest = { tagClass, tags }
    return largest
  }

  /** Replaces every waiting tag of a class, or of all, by the one coarse tag that covers them; answers what it replaced. */
  collapse(tagClass: string | null): Slot[] {
    const coarse = tagClass === null ? EVERYTHING : classTag(tagClass)
    const covered: Slot[] = []
    for (const [name] of LANE_WEIGHTS) {
      const lane = this.#lanes[name]
      for (const slot of lane.values()) {
        if (tagClass !== null && (slot.tag === EVERYTHING || classOf(slot.tag) !== tagClass)) continue
        covered.push(slot)
        lane.delete(slot.tag)
      }
    }
    const first = covered[0]
    if (!first) return []
    const merged = { ...first, tag: coarse, key: encodeSurrogateKey(coarse), lane: 'live' as const, waiters: [] }
    for (const slot of covered) absorb(merged, slot)
    this.#join(merged)
    return covered
  }

  #takeAll(lane: LaneName): QueuedRequest {
    const slots: Slot[] = []
    for (const [name] of LANE_WEIGHTS) {
      slots.push(...this.#lanes[name].values())
      this.#lanes[name].clear()
    }
    this.#coarse.clear()
    return { lane, isEverything: true, slots }
  }

  /** Smooth weighted round robin over the lanes that have work. */
  #nextLane(): LaneName | null {
    let next: LaneName | null = null
    let total = 0
    for (const [lane, weight] of LANE_WEIGHTS) {
      if (this.#lanes[lane].size === 0) continue
      total += weight
      this.#credits[lane] += weight
      if (next === null || this.#credits[lane] > this.#credits[next]) next = lane
    }
    if (next !== null) this.#credits[next] -= total
    return next
  }

  #note({ tag, lane }: Slot): void {
    if (isClassTag(tag)) this.#coarse.set(tag, lane)
  }

  #join(slot: Slot): void {
    if (this.#coarse.size > 0 && this.#ride(slot)) return
    for (const [name] of LANE_WEIGHTS) {
      const lane = this.#lanes[name]
      const waiting = lane.size === 0 ? undefined : lane.get(slot.tag)
      if (!waiting) continue
      // A purge now is as good for whatever waits for one, so both go by the more urgent lane.
      if (RANK[slot.lane] >= RANK[name]) return absorb(waiting, slot)
      lane.delete(slot.tag)
      absorb(slot, waiting)
      break
    }
    this.#lanes[slot.lane].add(slot)
    this.#note(slot)
  }

  /** Joins the purge of its whole class, if one waits. */
  #ride(slot: Slot): boolean {
    if (slot.tag === EVERYTHING || isClassTag(slot.tag)) return false
    const coarse = classTag(classOf(slot.tag))
    const lane = this.#coarse.get(coarse)
    const waiting = lane === undefined ? undefined : this.#lanes[lane].get(coarse)
    if (!waiting) return false
    absorb(waiting, slot)
    return true
  }
}

/** Tells whether the log alone wants `slot`, for an older change than `purged`: whenever that was sent, it covers this one. */
export function isOlder(slot: Slot, purged: Slot): boolean {
  return slot.stamp < purged.stamp && slot.waiters.every(({ purge }) => purge.lane === 'live')
}

/** Moves slots into a request in order; answers whether it took them all. */
function fill(request: Request<Slot>, lane: SlotMap): boolean {
  for (let slot = lane.first(); slot; slot = lane.first()) {
    if (!request.offer(slot)) return false
    lane.delete(slot.tag)
  }
  return true
}

/** Has `slot` answer for everything that waits for `other`. */
function absorb(slot: Slot, other: Slot): void {
  if (other.stamp > slot.stamp) slot.stamp = other.stamp
  slot.arrivedMs = Math.min(slot.arrivedMs, other.arrivedMs)
  slot.attempts = Math.max(slot.attempts, other.attempts)
  for (const waiter of other.waiters) slot.waiters.push(waiter)
}
