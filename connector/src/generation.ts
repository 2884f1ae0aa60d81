import { retry, TOPICS } from '@lockstep/runtime'
import type { EventLog, TimeSource } from '@lockstep/runtime'
import { encodeEvent } from '@lockstep/schemas'
import type { Epoch, EpochStore, ServerIdentity } from './ports.ts'

/** Why a generation begins. A closed set: it is a metric label. */
export type RaiseReason =
  | 'first-start'
  | 'slot-lost'
  | 'slot-recreated'
  | 'publication-lost'
  | 'other-primary'
  | 'memory-log'
  | 'requested'
  | 'unannounced'

/** Gaps that somebody or something makes again and again are bounded per hour; the others are a process's own doing. */
export function isBoundedGap(reason: RaiseReason | undefined): boolean {
  return reason !== undefined && BOUNDED.has(reason)
}
const BOUNDED: ReadonlySet<RaiseReason> = new Set(['slot-lost', 'slot-recreated', 'publication-lost', 'other-primary'])

/** What the start of a session found out. */
export interface StartFacts {
  readonly stored: Epoch | undefined
  readonly identity: ServerIdentity
  readonly slot: string
  /** Why the slot could not go on from where it was, if it could not. */
  readonly gap: 'slot-lost' | 'slot-recreated' | 'publication-lost' | undefined
  /** True for the first session of a process whose log does not outlive it. */
  readonly isLogEmpty: boolean
}

/** Decides whether a session must begin a new generation, and why. */
export function raiseReason({ stored, identity, slot, gap, isLogEmpty }: StartFacts): RaiseReason | undefined {
  if (stored === undefined) return 'first-start'
  if (stored.systemId !== identity.systemId || stored.timeline !== identity.timeline) return 'other-primary'
  if (gap !== undefined) return gap
  if (stored.slot !== slot) return 'slot-lost'
  return isLogEmpty ? 'memory-log' : undefined
}

/**
 * How far to raise. A promoted standby may not have received the newest raises of its predecessor; this many of them
 * are stepped over, so that no generation is ever used twice.
 */
export const FAILOVER_STEP = 1024

export interface AnnounceOptions {
  readonly log: Pick<EventLog, 'produce'>
  readonly partitions: number
  readonly store: Pick<EpochStore, 'markAnnounced'>
  readonly time: TimeSource
  readonly signal: AbortSignal
  readonly onRejected: (error: unknown) => void
}

/**
 * Writes the flush of a durable generation to every partition and then marks it announced. Resolves when all
 * partitions have acknowledged it; repeats until then.
 */
export async function announce(
  generation: number,
  flush: { readonly reason: string; readonly edge: boolean },
  { log, partitions, store, time, signal, onRejected }: AnnounceOptions,
): Promise<void> {
  const value = encodeEvent({ kind: 'flush', generation, partitions, reason: flush.reason, edge: flush.edge })
  const records = Array.from({ length: partitions }, (_none, partition) => ({ key: null, value, partition }))
  await retry(() => log.produce(TOPICS.changes, records), {
    policy: { initialMs: 20, maxMs: 2_000 },
    signal,
    onRetry: onRejected,
    sleep: (ms, stop) => time.sleep(ms, stop),
  })
  await store.markAnnounced(generation)
}
