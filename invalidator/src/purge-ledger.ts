import { encodeEvent } from '@lockstep/schemas'
import type { PurgeCommand, Tag } from '@lockstep/schemas'
import type { LogRecord } from '@lockstep/runtime'
import { mergePurges } from './coalesce.ts'
import type { OwedPurge } from './coalesce.ts'
import type { Effect } from './derive.ts'

/**
 * A barrier that no process ever acknowledges: the purger then waits `maxStaleness`, after which no process serves
 * anything that Redis has not vouched for. For changes that `w` refused, whose bus entry never comes.
 */
export const NO_BUS_ENTRY = '18446744073709551615-18446744073709551615'

/** Collects what the edge must be purged of for one batch, one command per tag. */
export class PurgeLedger {
  readonly #purges = new Map<Tag, OwedPurge>()

  /** Owes purges that must wait for the bus entry `busId`. */
  owe(effects: Iterable<Effect>, busId: string, reason: string): void {
    for (const effect of effects) {
      const known = this.#purges.get(effect.tag)
      // Written out here and below: spreading costs more than the rest of the work on a tag.
      const { tag, stamp, commitLsn, commitTimeUs, offset } = effect
      const purge: OwedPurge = { tag, stamp, commitLsn, commitTimeUs, offset, busId, reason }
      this.#purges.set(effect.tag, known === undefined ? purge : mergePurges(known, purge))
    }
  }

  /** Writes the commands. Their ids depend on the source record alone, so a repetition is recognisable. */
  records(partition: number): LogRecord[] {
    const records: LogRecord[] = []
    for (const { tag, stamp, commitLsn, commitTimeUs, offset, busId, reason } of this.#purges.values()) {
      const id = `${partition}-${offset}-${tag}`
      const command: PurgeCommand = { kind: 'purge', id, tag, stamp, commitLsn, commitTimeUs, busId, reason }
      records.push({ key: tag, value: encodeEvent(command) })
    }
    return records
  }
}
