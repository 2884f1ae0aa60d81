import { COLUMN_OVERHEAD, copyAll, copySlice, ScratchBuffer, writeNullColumn, writeTextColumn } from '@lockstep/schemas'
import type { ChangeOp } from '@lockstep/schemas'
import type { PgoutputReader } from './pgoutput-reader.ts'
import type { RelationPlan, Selection } from './relations.ts'
import type { Row } from './row.ts'

const NULL = 0x6e
const UNCHANGED_TOAST = 0x75
const TEXT = 0x74
const SEPARATOR = 0x7c

/** Copies what rules need of one row out of its message: old columns, new columns, record key. */
export class RowWriter {
  readonly #scratch = new ScratchBuffer()
  /** Where in the message the values of the key's columns lie: from, to; −1 where unknown. */
  #keyRanges = new Int32Array(0)
  /** Where the value at hand lies. */
  readonly #value = { bytes: new Uint8Array(0) as Uint8Array, from: 0, to: 0 }
  #target: Buffer = Buffer.alloc(0)
  #beforeEnd = 0
  #end = 0

  /** Begins a row whose message is `reader`'s. */
  begin(reader: PgoutputReader, plan: RelationPlan): void {
    if (this.#keyRanges.length < 2 * plan.keyLength) this.#keyRanges = new Int32Array(2 * plan.keyLength)
    this.#keyRanges.fill(-1)
    // A value may go into the old row, the new row and the key.
    const columns = 2 * (plan.nameBytes + COLUMN_OVERHEAD * plan.row.length)
    const key = plan.keyPrefix.length + plan.keyLength
    this.#scratch.trim()
    this.#target = this.#scratch.atLeast(3 * (reader.end - reader.at) + columns + key)
    this.#beforeEnd = this.#end = 0
  }

  /** Reads the tuple at the reader as the old row. A NULL of a key tuple is a placeholder, and absent. */
  old(reader: PgoutputReader, plan: RelationPlan, isKeyTuple: boolean): void {
    this.#tuple(reader, plan, isKeyTuple ? plan.keyTuple : plan.row, !isKeyTuple)
    this.#beforeEnd = this.#end
  }

  /** Reads the tuple at the reader as the identity of an old row that was not sent because it is the same. */
  identity(reader: PgoutputReader, plan: RelationPlan): void {
    const { at } = reader
    this.#tuple(reader, plan, plan.identity, true)
    this.#beforeEnd = this.#end
    reader.at = at
  }

  /** Reads the tuple at the reader as the new row. */
  new(reader: PgoutputReader, plan: RelationPlan): void {
    this.#tuple(reader, plan, plan.row, true)
  }

  /** The row as written; the next one is written over it. */
  finish(op: ChangeOp, reader: PgoutputReader, plan: RelationPlan): Row {
    const [ranges, target, value] = [this.#keyRanges, this.#target, this.#value]
    value.bytes = reader.bytes
    let at = copyAll(plan.keyPrefix, target, this.#end)
    for (let place = 0; place < plan.keyLength; place++) {
      target[at++] = SEPARATOR
      value.from = ranges[2 * place]!
      value.to = ranges[2 * place + 1]!
      if (value.from >= 0) at = copySlice(value, target, at)
    }
    const before = { bytes: target, from: 0, to: this.#beforeEnd }
    const after = { bytes: target, from: this.#beforeEnd, to: this.#end }
    return { op, table: plan.table, before, after, key: { bytes: target, from: this.#end, to: at }, index: 0 }
  }

  /** Copies the selected columns; what is not selected is stepped over. An unchanged TOAST value stays absent. */
  #tuple(reader: PgoutputReader, plan: RelationPlan, selection: Selection, hasNulls: boolean): void {
    const { keyPlace } = plan
    const value = this.#value
    value.bytes = reader.bytes
    const count = reader.uint16()
    if (count !== selection.length) throw new RangeError('a tuple has another number of columns than its relation')
    for (let index = 0; index < count; index++) {
      const format = reader.uint8()
      const name = selection[index]!
      if (format === TEXT) {
        const length = reader.uint32()
        value.from = reader.at
        reader.skip(length)
        if (name === null) continue
        value.to = reader.at
        this.#end = writeTextColumn(name, value, this.#target, this.#end)
        const place = keyPlace[index]!
        if (place < 0) continue
        this.#keyRanges[2 * place] = value.from
        this.#keyRanges[2 * place + 1] = value.to
      } else if (format === NULL) {
        if (name !== null && hasNulls) this.#end = writeNullColumn(name, this.#target, this.#end)
      } else if (format !== UNCHANGED_TOAST) {
        throw new RangeError('a column has an unknown format')
      }
    }
  }
}
