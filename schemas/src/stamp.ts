/** A position in the snapshot order of one primary: 16 hex digits of xmax, then 4 of `0xffff − |xip|`. */
export type Clock = string & { readonly __brand: 'Clock' }

/**
 * A generation (8 hex digits) followed by a clock. String order is the order of epochs first and of snapshots within
 * one epoch second, in every language and in Lua, so `max` is the only operation anyone needs.
 * W (on a change) and S (on a cached value) are both stamps.
 */
export type Stamp = string & { readonly __brand: 'Stamp' }

/** What `pg_current_snapshot()` says: the order of these fields is the order of its text form. */
export interface Snapshot {
  readonly xmin: bigint
  readonly xmax: bigint
  readonly xip: readonly bigint[]
}

/** Counts the hex digits of a stamp: 8 of the generation, 20 of the clock. */
export const STAMP_LENGTH = 28
const CLOCK_LENGTH = 20
const MAX_RUNNING = 0xffffn
const HEX_STAMP = /^[0-9a-f]{28}$/
const SNAPSHOT = /^\d{1,20}:\d{1,20}:(?:\d{1,20}(?:,\d{1,20})*)?$/
const HEX_CLOCK = /^[0-9a-f]{20}$/

/** Older than every stamp of every epoch. */
export const ZERO_STAMP = '0'.repeat(STAMP_LENGTH) as Stamp

/** Parses `xmin:xmax:xip,xip…`. @throws RangeError for anything else. */
export function parseSnapshot(text: string): Snapshot {
  if (!SNAPSHOT.test(text)) throw new RangeError('not a snapshot: expected xmin:xmax:xip,…')
  const [xmin = '', xmax = '', xip = ''] = text.split(':')
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), xip: xip === '' ? [] : xip.split(',').map(BigInt) }
}

/** Tells whether the snapshot sees the *committed* top-level transaction `xid`. */
export function sees(snapshot: Snapshot, xid: bigint): boolean {
  if (xid < snapshot.xmin) return true
  return xid < snapshot.xmax && !snapshot.xip.includes(xid)
}

/**
 * Widens the 32-bit xid of a Begin message to the 64-bit xid nearest to `xmax`. "Nearest below" would call the newest,
 * still invisible transaction seen, because it may lie above the snapshot's xmax.
 */
export function widenXid(xid: number, xmax: bigint): bigint {
  return xmax + BigInt(Number(BigInt.asIntN(32, BigInt(xid) - xmax)))
}

/** Encodes (xmax, −|xip|). More than 65,535 running transactions count as 65,535, which only costs an extra load. */
export function clockOf(snapshot: Snapshot): Clock {
  const count = BigInt(snapshot.xip.length)
  const rest = MAX_RUNNING - (count > MAX_RUNNING ? MAX_RUNNING : count)
  return (snapshot.xmax.toString(16).padStart(16, '0') + rest.toString(16).padStart(4, '0')) as Clock
}

/** Joins an epoch's generation (1 … 2³² − 1) and a clock. */
export function stampOf(generation: number, clock: Clock): Stamp {
  if (!Number.isInteger(generation) || generation < 0 || generation > 0xffffffff)
    throw new RangeError(`generation out of range: ${generation}`)
  return (generation.toString(16).padStart(8, '0') + clock) as Stamp
}

/** The first stamp of a generation: as the fence of `*` it makes everything older invalid. */
export function epochStart(generation: number): Stamp {
  return stampOf(generation, '0'.repeat(CLOCK_LENGTH) as Clock)
}

/** Reads the generation, without checking the stamp. */
export function generationOf(stamp: Stamp): number {
  return Number.parseInt(stamp.slice(0, 8), 16)
}

/** Answers the newer of two stamps. */
export function maxStamp(a: Stamp, b: Stamp): Stamp {
  return a < b ? b : a
}

/** @throws RangeError unless `text` is 28 lower-case hex digits. */
export function parseStamp(text: string): Stamp {
  if (!HEX_STAMP.test(text)) throw new RangeError('not a stamp: expected 28 lower-case hex digits')
  return text as Stamp
}

/** @throws RangeError unless `text` is 20 lower-case hex digits. */
export function parseClock(text: string): Clock {
  if (!HEX_CLOCK.test(text)) throw new RangeError('not a clock: expected 20 lower-case hex digits')
  return text as Clock
}
