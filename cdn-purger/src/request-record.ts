import type { JournalEntry, JournalItem, JournalState } from './journal/port.ts'
import type { PurgeReply } from './ports.ts'
import type { QueuedRequest, Slot, Waiter } from './purge-queue.ts'

/** What is known of a request before it is answered. */
export interface RequestFacts {
  readonly provider: string
  readonly tier: number
  readonly batch: string
  readonly sentAtMs: number
}

type Common = Pick<JournalEntry, 'atMs'> & Partial<JournalEntry>

/** Turns requests and their answers into entries of the journal: one per phase, lane and state. */
export class RequestRecord {
  readonly #facts: RequestFacts

  constructor(facts: RequestFacts) {
    this.#facts = facts
  }

  /** Entries for purges that a coarser one replaced. */
  static escalated(common: Common, covered: readonly Slot[]): JournalEntry[] {
    return entriesOf(common, covered, () => 'escalated')
  }

  answered(reply: PurgeReply, { slots, isEverything }: QueuedRequest, atMs: number): JournalEntry[] {
    const common = { ...this.#facts, atMs }
    if (reply.kind === 'purged') {
      const { objects, purgeId } = reply
      const said = {
        ...(objects === null ? {} : { objects }),
        ...(purgeId === undefined ? {} : { providerPurgeId: purgeId }),
      }
      return entriesOf({ ...common, ...said }, slots, (slot, { purge }) => {
        // A coarser purge does each of what it covers; of one tag only the newest was purged for.
        return purge.command.stamp === slot.stamp || purge.tag !== slot.tag ? 'acked' : 'superseded'
      })
    }
    const detail = reply.kind === 'throttled' ? 'throttled' : reply.detail
    const isFinal = reply.kind === 'refused' && (slots.length <= 1 || isEverything)
    return entriesOf({ ...common, detail }, slots, () => (isFinal ? 'dead-lettered' : 'retrying'))
  }

  /** Entries for purges of this failed request that a newer purge overtook. */
  overtaken(slots: readonly Slot[], atMs: number): JournalEntry[] {
    return entriesOf({ ...this.#facts, atMs, detail: 'overtaken' }, slots, () => 'superseded')
  }
}

function entriesOf(
  common: Common,
  slots: readonly Slot[],
  stateOf: (slot: Slot, waiter: Waiter) => JournalState,
): JournalEntry[] {
  const entries = new Map<string, JournalEntry & { items: JournalItem[] }>()
  for (const slot of slots) {
    for (const waiter of slot.waiters) {
      const state = stateOf(slot, waiter)
      const { phase, lane, command, actor, replayOf } = waiter.purge
      const id = state + phase + lane
      let entry = entries.get(id)
      if (!entry) entries.set(id, (entry = { ...common, state, phase, lane, items: [] }))
      entry.items.push({ command, attempts: slot.attempts, actor, replayOf })
    }
  }
  return [...entries.values()]
}
