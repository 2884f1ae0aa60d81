import type { ChangeOp, ChangeRow } from '@lockstep/schemas'

const NO_COLUMNS = Buffer.alloc(0)

/** One row, or one table, that changed: its columns encoded, copied from the stream. */
export interface Row extends ChangeRow {
  readonly op: ChangeOp
  /** Key of the record in the log. */
  readonly key: Buffer
  /** Position in its transaction, known when the transaction has numbered it. */
  index: number
}

/** A change of a whole table. */
export function tableRow(op: ChangeOp, table: string, index = 0): Row {
  return { op, table, before: NO_COLUMNS, after: NO_COLUMNS, key: Buffer.from(table), index }
}

/** A copy with memory of its own: what may wait for long must not keep its neighbours. */
export function detached(row: Row): Row {
  const own = Buffer.allocUnsafeSlow(row.key.length + row.before.length + row.after.length)
  const middle = row.key.length + row.before.length
  own.set(row.key, 0)
  own.set(row.before, row.key.length)
  own.set(row.after, middle)
  const [key, before, after] = [
    own.subarray(0, row.key.length),
    own.subarray(row.key.length, middle),
    own.subarray(middle),
  ]
  return { ...row, key, before, after }
}

/** Bytes that a row keeps. */
export const bytesOf = ({ key, before, after }: Row): number => key.length + before.length + after.length
