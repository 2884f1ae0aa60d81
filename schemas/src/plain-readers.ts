import { CHANGE_OPS } from './avro-schemas.ts'
import { readColumns, readColumnsBeside } from './columns.ts'
import type { Change, PurgeCommand } from './events.ts'
import type { Lsn } from './lsn.ts'
import { PlainCursor } from './plain-cursor.ts'
import { parseStamp } from './stamp.ts'
import { parseTag } from './tag.ts'

/**
 * Readers of what comes by the hundred thousand a second, as the newest schema writes it and where it is plain: ASCII, numbers
 * of up to 52 bits, not negative. Null for anything else, well-formed or not: the general reader then decides. avsc spends
 * most of its time on strings and longs that it copies first.
 */

/** @throws RangeError for a tag or stamp that is none. */
export function readPlainPurge(bytes: Buffer, start: number): PurgeCommand | null {
  const cursor = new PlainCursor(bytes, start)
  const id = cursor.text()
  const tag = cursor.text()
  const stamp = cursor.text()
  const commitLsn = cursor.count()
  const commitTimeUs = cursor.count()
  const busId = cursor.text()
  const reason = cursor.text()
  if (id === null || tag === null || stamp === null || busId === null || reason === null) return null
  if (commitLsn < 0 || commitTimeUs < 0 || cursor.position !== bytes.length) return null
  return {
    kind: 'purge',
    id,
    tag: parseTag(tag),
    stamp: parseStamp(stamp),
    commitLsn: BigInt(commitLsn) as Lsn,
    commitTimeUs: BigInt(commitTimeUs),
    busId,
    reason,
  }
}

/** @throws RangeError for a stamp that is none, UndecodableError for columns that are none. */
export function readPlainChange(bytes: Buffer, start: number): Change | null {
  const cursor = new PlainCursor(bytes, start)
  const op = CHANGE_OPS[cursor.count()]
  const table = cursor.text()
  const rowBefore = cursor.block()
  const rowAfter = cursor.block()
  const stamp = cursor.text()
  const commitLsn = cursor.count()
  const index = cursor.count()
  const xid = cursor.count()
  const commitTimeUs = cursor.count()
  if (op === undefined || table === null || rowBefore === null || rowAfter === null || stamp === null) return null
  if (commitLsn < 0 || index < 0 || xid < 0 || commitTimeUs < 0 || cursor.position !== bytes.length) return null
  const before = readColumns(rowBefore)
  return {
    kind: 'change',
    op,
    table,
    before,
    after: readColumnsBeside(rowAfter, rowBefore, before),
    stamp: parseStamp(stamp),
    commitLsn: BigInt(commitLsn) as Lsn,
    index,
    xid: BigInt(xid),
    commitTimeUs: BigInt(commitTimeUs),
  }
}
