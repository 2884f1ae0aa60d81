/** A position in the write-ahead log, unsigned 64 bit. */
export type Lsn = bigint & { readonly __brand: 'Lsn' }

/** Precedes every position. */
export const ZERO_LSN = 0n as Lsn
const TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/** Parses Postgres' `X/Y`. @throws RangeError for anything else. */
export function parseLsn(text: string): Lsn {
  const match = TEXT.exec(text)
  if (!match) throw new RangeError(`not an LSN: ${text}`)
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn
}

/** Writes Postgres' `X/Y`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}

/** Answers the later of two positions. */
export function maxLsn(a: Lsn, b: Lsn): Lsn {
  return a < b ? b : a
}
