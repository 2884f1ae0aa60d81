import { compareBusIds, encodeSurrogateKey } from '@lockstep/schemas'
import type { PurgeCommand, Tag } from '@lockstep/schemas'
import type { Purge, ReceivedCommand } from './purge.ts'
import { TicketSet } from './tickets.ts'
import type { BatchTicket } from './tickets.ts'

/** Merges two purges of one tag: the greatest stamp and the earliest commit win, all batches are answered for. */
export function mergePurges(a: Purge, b: Purge): Purge {
  const newest = a.command.stamp < b.command.stamp ? b : a
  a.tickets.absorb(b.tickets)
  return {
    ...newest,
    phase: a.phase === 'live' ? 'live' : b.phase,
    command: { ...newest.command, busId: laterBusId(a.command, b.command) },
    commitTimeUs: a.commitTimeUs < b.commitTimeUs ? a.commitTimeUs : b.commitTimeUs,
    arrivedMs: Math.min(a.arrivedMs, b.arrivedMs),
    tickets: a.tickets,
  }
}

function laterBusId(a: PurgeCommand, b: PurgeCommand): string {
  if (a.busId === '' || b.busId === '') return a.busId || b.busId
  return compareBusIds(a.busId, b.busId) < 0 ? b.busId : a.busId
}

interface Waiting {
  /** Keeps its bus id while it waits, so that a tag written over and over is still released. */
  head: Purge
  next: Purge | null
}

/** Commands that wait for the barrier, at most two purges per tag. */
export class Coalescer {
  readonly #onSuperseded: (older: Purge) => void
  readonly #waiting = new Map<Tag, Waiting>()

  /** @param onSuperseded receives each purge whose command a newer one of its tag replaced. */
  constructor(onSuperseded: (older: Purge) => void = () => undefined) {
    this.#onSuperseded = onSuperseded
  }

  /** How many tags wait. */
  get size(): number {
    return this.#waiting.size
  }

  /** When the oldest command arrived, monotonic ms; null when nothing waits. */
  get oldestMs(): number | null {
    for (const { head } of this.#waiting.values()) return head.arrivedMs
    return null
  }

  add({ command, source }: ReceivedCommand, ticket: BatchTicket, arrivedMs: number): void {
    const { tag, commitTimeUs } = command
    const tickets = new TicketSet()
    tickets.add(ticket)
    const key = encodeSurrogateKey(tag)
    const purge: Purge = { tag, key, phase: 'live', lane: 'live', command, commitTimeUs, arrivedMs, source, tickets }
    const waiting = this.#waiting.get(tag)
    if (waiting) this.#join(waiting, purge)
    else this.#waiting.set(tag, { head: purge, next: null })
  }

  /** Takes out every purge that `mayGo` lets go; what had waited behind it becomes the head. */
  release(mayGo: (purge: Purge) => boolean): Purge[] {
    const released: Purge[] = []
    for (const [tag, waiting] of this.#waiting) {
      let head: Purge | null = waiting.head
      while (head && mayGo(head)) {
        released.push(head)
        head = head === waiting.head ? waiting.next : null
      }
      if (head === waiting.head) continue
      this.#waiting.delete(tag)
      // Behind the others: the first to stand here is the one that waits longest.
      if (head) this.#waiting.set(tag, { head, next: null })
    }
    return released
  }

  #join(waiting: Waiting, purge: Purge): void {
    const isCovered = laterBusId(waiting.head.command, purge.command) === waiting.head.command.busId
    if (isCovered) waiting.head = this.#merge(waiting.head, purge)
    else waiting.next = waiting.next ? this.#merge(waiting.next, purge) : purge
  }

  #merge(a: Purge, b: Purge): Purge {
    this.#onSuperseded(a.command.stamp < b.command.stamp ? a : b)
    return mergePurges(a, b)
  }
}
