import { copySlice } from '@lockstep/schemas'
import type { ChangeOp, ChangeRow, Slice } from '@lockstep/schemas'

const NO_COLUMNS: Slice = { bytes: Buffer.alloc(0), from: 0, to: 0 }

/**
 * One row, or one table, that changed: its columns encoded. Its bytes are good until the next message is decoded; what
 * waits for longer is `detached`.
 */
export interface Row extends ChangeRow {
  readonly op: ChangeOp
  /** Key of the record in the log. */
  readonly key: Slice
  /** Position in its transaction, known when the transaction has numbered it. */
  index: number
}

/** A change of a whole table. */
export function tableRow(op: ChangeOp, table: string, index = 0): Row {
  const bytes = Buffer.from(table)
  return { op, table, before: NO_COLUMNS, after: NO_COLUMNS, key: { bytes, from: 0, to: bytes.length }, index }
}

const lengthOf = ({ from, to }: Slice): number => to - from

/** Bytes that a row keeps. */
export const bytesOf = ({ key, before, after }: Row): number => lengthOf(key) + lengthOf(before) + lengthOf(after)

/** A copy with memory of its own. */
export function detached(row: Row): Row {
  const bytes = Buffer.allocUnsafeSlow(bytesOf(row))
  const beforeEnd = copySlice(row.before, bytes, 0)
  const afterEnd = copySlice(row.after, bytes, beforeEnd)
  const end = copySlice(row.key, bytes, afterEnd)
  const before = { bytes, from: 0, to: beforeEnd }
  const after = { bytes, from: beforeEnd, to: afterEnd }
  return { ...row, before, after, key: { bytes, from: afterEnd, to: end } }
}
