import type { Logger, TimeSource } from '@lockstep/runtime'
import { fail } from './errors.ts'
import type { Link, SlotAdmin, UnsafeSwitches } from './ports.ts'

/** Where a standby waits. */
export interface LeadOptions {
  readonly link: Pick<Link, 'tryLead'>
  readonly time: TimeSource
  readonly signal: AbortSignal
  /** Called once if another connector leads; a rejection ends the wait. */
  readonly onStandby: () => Promise<void>
}

// Asked, not awaited in the server: a query blocked in pg_advisory_lock holds a snapshot, and vacuum, for as long as it waits.
const LEAD_POLL_MS = 100

/** Resolves once this connection leads. */
export async function waitForLead({ link, time, signal, onStandby }: LeadOptions): Promise<void> {
  let isStandby = false
  while (!(await link.tryLead())) {
    if (!isStandby) await onStandby()
    isStandby = true
    await time.sleep(LEAD_POLL_MS, signal)
  }
}

/** What the taking over of a slot needs. */
export interface TakeOverOptions {
  readonly slot: Pick<SlotAdmin, 'holder' | 'terminate'>
  readonly name: string
  readonly time: TimeSource
  readonly logger: Logger
  readonly signal: AbortSignal
  readonly unsafe?: Pick<UnsafeSwitches, 'graceMs'> | undefined
}

const SLOT_POLL_MS = 20
// A predecessor that has lost the lead lets the slot go after its last record has reached the log.
const GRACE_MS = 500
// The session then ends, and the next one asks again.
const BUSY_LIMIT_MS = 10_000

/**
 * Resolves once nobody reads the slot: call it with the lead only. A walsender of our own that stays was left behind by
 * a process that hangs or is gone, and is terminated.
 * @throws LockstepError LOCKSTEP_CON_SLOT_BUSY (transient) when it stays in use.
 */
export async function takeOverSlot({ slot, name, time, logger, signal, unsafe }: TakeOverOptions): Promise<void> {
  const graceMs = unsafe?.graceMs ?? GRACE_MS
  const startedMs = time.nowMs()
  let terminated: number | undefined
  for (let holder = await slot.holder(); holder !== undefined; holder = await slot.holder()) {
    const { pid, who, isOurs } = holder
    const waitedMs = time.nowMs() - startedMs
    if (waitedMs > BUSY_LIMIT_MS) throw fail('LOCKSTEP_CON_SLOT_BUSY', { slot: name, pid, who })
    if (isOurs && waitedMs >= graceMs && pid !== terminated) {
      terminated = pid
      const isDone = await slot.terminate(pid)
      logger.warn({ pid, isDone }, 'the slot was still held by a walsender left behind')
    }
    await time.sleep(SLOT_POLL_MS, signal)
  }
}
