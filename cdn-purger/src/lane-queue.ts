import { EVERYTHING } from '@lockstep/schemas'
import { takeBatch } from './batch.ts'
import type { PurgeLimits } from './ports.ts'
import type { Purge } from './purge.ts'

/** How one purge ended at one provider. `startedMs` is when its request was sent. */
export type PurgeOutcome =
  | { readonly kind: 'purged'; readonly startedMs: number }
  | { readonly kind: 'refused'; readonly detail: string }

/** Receives the outcome of one purge. */
export type OnOutcome = (outcome: PurgeOutcome) => void

/** All purges of one tag that wait for the same request. */
export interface Slot {
  readonly key: string
  readonly tag: string
  readonly phase: 'live' | 'rebound'
  /** For age and backlog: when the oldest of them arrived. */
  readonly arrivedMs: number
  readonly waiters: readonly { readonly purge: Purge; readonly onOutcome: OnOutcome }[]
}

/** What one request is to purge. */
export interface LaneBatch {
  readonly phase: 'live' | 'rebound'
  readonly isEverything: boolean
  readonly slots: readonly Slot[]
}

// One request in four serves rebounds while live purges keep coming, so that neither ever starves.
const REBOUND_TURN = 4

/** Purges waiting for one provider, one slot per tag; what was merged shares a request. */
export class LaneQueue {
  readonly #limits: PurgeLimits
  #live = new Map<string, Slot>()
  #rebound = new Map<string, Slot>()
  #halves: LaneBatch[] = []
  #turn = 0

  constructor(limits: PurgeLimits) {
    this.#limits = limits
  }

  /** Tags waiting. */
  get size(): number {
    return this.#live.size + this.#rebound.size + this.#halves.reduce((sum, half) => sum + half.slots.length, 0)
  }

  /** When the oldest live purge arrived; null when none waits. */
  get oldestMs(): number | null {
    let oldest: number | null = null
    for (const slot of this.#live.values()) if (oldest === null || slot.arrivedMs < oldest) oldest = slot.arrivedMs
    return oldest
  }

  add(purge: Purge, onOutcome: OnOutcome): void {
    const { tag, key, phase, arrivedMs } = purge
    this.#join({ key, tag, phase, arrivedMs, waiters: [{ purge, onOutcome }] })
  }

  /** Puts back what was not purged, ahead of what came later. */
  putBack(batch: LaneBatch): void {
    const later = batch.phase === 'live' ? this.#live : this.#rebound
    const queue = new Map(batch.slots.map((slot) => [slot.tag, slot]))
    if (batch.phase === 'live') this.#live = queue
    else this.#rebound = queue
    for (const slot of later.values()) this.#join(slot)
  }

  /** Has the halves of a refused request sent by themselves, before anything else. */
  putHalves(batch: LaneBatch, halves: readonly (readonly Slot[])[]): void {
    this.#halves.push(...halves.map((slots) => ({ ...batch, slots })))
  }

  /** Takes the next request; null when nothing waits. An EVERYTHING takes all waiting live purges along. */
  take(): LaneBatch | null {
    const half = this.#halves.shift()
    if (half) return half
    this.#turn += 1
    const isReboundTurn = this.#live.size === 0 || (this.#rebound.size > 0 && this.#turn % REBOUND_TURN === 0)
    const phase = isReboundTurn ? 'rebound' : 'live'
    const queue = isReboundTurn ? this.#rebound : this.#live
    if (queue.size === 0) return null
    const isEverything = queue.has(EVERYTHING)
    const slots = isEverything ? [...queue.values()] : takeBatch(queue, this.#limits)
    if (isEverything) queue.clear()
    return { phase, isEverything, slots }
  }

  #join(slot: Slot): void {
    const rebound = this.#rebound.get(slot.tag)
    if (slot.phase === 'live' && rebound) {
      // A live purge now is as good as the rebound that waits.
      this.#rebound.delete(slot.tag)
      this.#live.set(slot.tag, mergeSlots(slot, this.#live.get(slot.tag), rebound))
      return
    }
    const live = this.#live.get(slot.tag)
    if (live) this.#live.set(slot.tag, mergeSlots(live, slot))
    else if (slot.phase === 'live') this.#live.set(slot.tag, slot)
    else this.#rebound.set(slot.tag, mergeSlots(slot, rebound))
  }
}

function mergeSlots(first: Slot, ...others: (Slot | undefined)[]): Slot {
  const slots = [first, ...others.filter((slot) => slot !== undefined)]
  return {
    ...first,
    arrivedMs: Math.min(...slots.map((slot) => slot.arrivedMs)),
    waiters: slots.flatMap((slot) => slot.waiters),
  }
}
