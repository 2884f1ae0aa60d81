import type { Logger, TimeSource } from '@lockstep/runtime'
import { fail } from './errors.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { Catalog, SlotVitals, Vitals } from './ports.ts'

export interface GuardianOptions {
  readonly catalog: Pick<Catalog, 'vitals'>
  /** The publication as the session found it. */
  readonly publication: string
  readonly slot: string
  readonly time: TimeSource
  readonly metrics: ConnectorMetrics
  readonly logger: Logger
}

const WAL_STATES = ['reserved', 'extended', 'unreserved', 'lost'] as const
// A query this small that takes this long means a dead peer, whatever the socket says.
const ANSWER_LIMIT_MS = 5_000
// Long enough to even out one burst, short enough to follow a real change of pace.
const PACE_WINDOW_MS = 60_000
const WARN_AT = [0.5, 0.8] as const
// Below it a later rise is news again.
const CALM_BELOW = 0.4

/**
 * Watches slot, publication and old transactions, and foretells the loss of the slot. System identifier and timeline
 * need no watch: no connection survives a change of either, and every session compares both.
 */
export class Guardian {
  readonly #options: GuardianOptions
  readonly #pace: { readonly atMs: number; readonly safeBytes: number }[] = []
  #warned = 0
  #oldest: { readonly xid: bigint; readonly sinceMs: number } | undefined

  constructor(options: GuardianOptions) {
    this.#options = options
  }

  /** Looks once. @throws LockstepError (transient) on what the running stream cannot go on with. */
  async look(signal: AbortSignal): Promise<void> {
    const { publication, slot: name } = this.#options
    const vitals = await this.#ask(signal)
    this.#noteOldest(vitals)
    if (vitals.publication !== publication) throw fail('LOCKSTEP_CON_PUBLICATION')
    const { slot } = vitals
    if (slot !== undefined) this.#noteSlot(slot)
    if (slot === undefined) throw fail('LOCKSTEP_CON_SLOT_LOST', { slot: name, why: 'it is missing' })
    if (slot.invalidation !== '') throw fail('LOCKSTEP_CON_SLOT_LOST', { slot: name, why: slot.invalidation })
  }

  async #ask(signal: AbortSignal): Promise<Vitals> {
    const { catalog, time } = this.#options
    const answered = new AbortController()
    const late = time.sleep(ANSWER_LIMIT_MS, AbortSignal.any([signal, answered.signal])).then(() => {
      throw fail('LOCKSTEP_CON_SILENT', { silentMs: ANSWER_LIMIT_MS })
    })
    try {
      return await Promise.race([catalog.vitals(), late])
    } finally {
      late.catch(() => undefined)
      answered.abort()
    }
  }

  #noteSlot(slot: SlotVitals): void {
    const { metrics, logger } = this.#options
    const { walStatus, retainedBytes, safeBytes, spilledBytes } = slot
    for (const status of WAL_STATES) metrics.slotWalStatus.set(status === walStatus ? 1 : 0, { status })
    metrics.slotRetained.set(retainedBytes)
    metrics.slotSpilled.set(spilledBytes)
    if (safeBytes === null) return
    metrics.slotSafe.set(safeBytes)
    const etaSeconds = this.#etaSeconds(safeBytes)
    metrics.slotEta.set(etaSeconds)
    const used = retainedBytes / Math.max(1, retainedBytes + Math.max(0, safeBytes))
    const level = WARN_AT.filter((share) => used >= share).length
    if (level > this.#warned) {
      const usedPercent = Math.round(used * 100)
      const eta = Number.isFinite(etaSeconds) ? Math.round(etaSeconds) : undefined
      logger.warn({ usedPercent, retainedBytes, safeBytes, etaSeconds: eta }, 'the slot retains much of the WAL it may')
    }
    if (level > this.#warned || used < CALM_BELOW) this.#warned = level
  }

  /** Seconds until the slot may be lost at the pace of the last minute; Infinity while it is not getting closer. */
  #etaSeconds(safeBytes: number): number {
    const atMs = this.#options.time.nowMs()
    this.#pace.push({ atMs, safeBytes })
    while ((this.#pace[0]?.atMs ?? atMs) < atMs - PACE_WINDOW_MS) this.#pace.shift()
    const first = this.#pace[0]
    if (first === undefined || first.safeBytes <= safeBytes) return Number.POSITIVE_INFINITY
    const perSecond = ((first.safeBytes - safeBytes) * 1_000) / (atMs - first.atMs)
    return Math.max(0, safeBytes) / perSecond
  }

  /** A transaction that stays open holds back the slot; its age counts from when we first saw it as the oldest one. */
  #noteOldest({ oldestXid, nextXid }: Vitals): void {
    const now = this.#options.time.nowMs()
    if (oldestXid === nextXid) this.#oldest = undefined
    else if (this.#oldest?.xid !== oldestXid) this.#oldest = { xid: oldestXid, sinceMs: now }
    this.#options.metrics.oldestTransaction.set(this.#oldest === undefined ? 0 : (now - this.#oldest.sinceMs) / 1_000)
  }
}
