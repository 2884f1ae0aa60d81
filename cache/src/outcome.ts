import { ZERO_STAMP, type Stamp } from '@lockstep/schemas'
import type { FenceRing } from './fence-ring.ts'
import type { LocalRecord } from './l1/record.ts'
import { isBelowToken } from './token.ts'
import type { ReadResult } from './types.ts'

/** What a flight brought back. */
export interface Outcome {
  readonly value: unknown
  readonly stamp: Stamp | null
  /** The own tag first. */
  readonly tags: readonly string[]
  readonly layer: 'l2' | 'load' | 'coalesced'
  /** Monotonic ms at which the value was loaded, as far as known. */
  readonly loadedAt: number
  readonly stored: boolean
  /** Tells whether it was stored in the end; where it is still under way. */
  readonly filling?: Promise<{ readonly stored: boolean }> | undefined
  /** Ring moment up to which every known fence is respected. */
  readonly knownAt: number
  /** Monotonic ms as of which the value is known to be current. */
  readonly asOf: number
}

/** A reader as it arrived. */
export interface Arrival {
  readonly key: string
  readonly token: Stamp | null
  readonly maxStalenessMs: number
  /** Ring moment. */
  readonly sequence: number
  /** Monotonic ms. */
  readonly at: number
}

/**
 * Tells whether a reader may have the outcome of a flight that began before it arrived: not below its token, no fence of
 * the value had arrived between, and within its contract.
 */
export function satisfies(outcome: Outcome, reader: Arrival, ring: FenceRing): boolean {
  const stamp = outcome.stamp ?? ZERO_STAMP
  if (isBelowToken(stamp, reader.token)) return false
  if (reader.at - outcome.asOf > reader.maxStalenessMs) return false
  return !ring.conflicts({ since: outcome.knownAt, until: reader.sequence }, outcome.tags, stamp)
}

/** Tells a reader what L1 had. */
export function localResult<V>(record: LocalRecord, now: number): ReadResult<V> {
  const { value, stamp, loadedAt } = record
  const tags = [record.key, ...record.tags]
  return { value: value as V | null, stamp, tags, layer: 'l1', ageMs: now - loadedAt, stored: true, stale: false }
}

/** Tells a reader what a flight brought. */
export function resultOf<V>(outcome: Outcome, now: number): ReadResult<V> {
  const { value, stamp, tags, layer, loadedAt, stored } = outcome
  return { value: value as V | null, stamp, tags, layer, ageMs: now - loadedAt, stored, stale: false }
}
