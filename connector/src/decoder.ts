import { createHash } from 'node:crypto'
import type { ChangeOp, Columns, Lsn, RuleSet } from '@lockstep/schemas'
import { fail } from './errors.ts'
import { PgoutputReader } from './pgoutput-reader.ts'
import { readRelation, readTuple } from './relations.ts'
import type { RelationPlan, TableIdentity } from './relations.ts'

/** What a Begin message says. */
export interface BeginFrame {
  readonly xid: number
  /** Start of the commit record. */
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
}

/** One row, or one table, that changed. */
export interface RowFrame {
  readonly op: ChangeOp
  readonly table: string
  readonly before: Columns
  readonly after: Columns
  /** Key of the record in the log. */
  readonly key: string
}

/** Takes decoded frames, in order and synchronously. Nothing handed over shares memory with the input. */
export interface FrameSink {
  begin(frame: BeginFrame): void
  row(frame: RowFrame): void
  /** End of the commit record: exactly what may be acknowledged. */
  commit(endLsn: Lsn): void
  message(prefix: string, content: string): void
  /** Bytes that can never be decoded; the class fence for `table` follows as a row. */
  undecodable(table: string, sha256: Buffer): void
}

/** Tells about oddities that need an operator's eye, not an answer. */
export interface DecoderEvents {
  unknownTag(tag: number): void
  relationChanged(table: string, missing: readonly string[]): void
}

export interface DecoderOptions {
  readonly rules: RuleSet
  /** The tables that rules name, as the catalog knows them. */
  readonly tables: ReadonlyMap<string, TableIdentity>
  readonly sink: FrameSink
  readonly events: DecoderEvents
}

const TAG = { begin: 66, commit: 67, relation: 82, insert: 73, update: 85, delete: 68, truncate: 84, message: 77 }
const TYPE_TAG = 89
const ORIGIN_TAG = 79
const NEW_TUPLE = 0x4e
const KEY_TUPLE = 0x4b
const OLD_TUPLE = 0x4f
const NOTHING: Columns = Object.freeze(Object.create(null) as Record<string, never>)

/** Decodes pgoutput, protocol version 1, keeping only the columns that rules and keys need. One per stream. */
export class Decoder {
  readonly #reader = new PgoutputReader()
  readonly #plans = new Map<number, RelationPlan | null>()
  readonly #options: DecoderOptions

  constructor(options: DecoderOptions) {
    this.#options = options
  }

  /**
   * Decodes one message. A row that cannot be read becomes a change of its whole table.
   * @throws LockstepError LOCKSTEP_CON_PROTOCOL where the frame of transactions itself cannot be followed.
   */
  parse(bytes: Buffer): void {
    this.#reader.reset(bytes)
    const tag = bytes[0] ?? 0
    try {
      this.#reader.skip(1)
      this.#dispatch(tag)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      if (tag !== TAG.insert && tag !== TAG.update && tag !== TAG.delete && tag !== TAG.truncate)
        throw fail('LOCKSTEP_CON_PROTOCOL', { detail: error.message }, error)
      this.#undecodable(bytes)
    }
  }

  #dispatch(tag: number): void {
    switch (tag) {
      case TAG.insert:
      case TAG.update:
      case TAG.delete:
        return this.#row(tag)
      case TAG.begin:
        return this.#begin()
      case TAG.commit:
        return this.#commit()
      case TAG.relation:
        return this.#relation()
      case TAG.truncate:
        return this.#truncate()
      case TAG.message:
        return this.#message()
      case TYPE_TAG:
      case ORIGIN_TAG:
        return
      default:
        // PG 18 has sent a stray 'A' on version 1.
        this.#options.events.unknownTag(tag)
    }
  }

  #begin(): void {
    const reader = this.#reader
    const commitLsn = reader.uint64() as Lsn
    const commitTimeUs = reader.timeUs()
    this.#options.sink.begin({ xid: reader.uint32(), commitLsn, commitTimeUs })
  }

  #commit(): void {
    this.#reader.skip(1 + 8)
    this.#options.sink.commit(this.#reader.uint64() as Lsn)
  }

  #relation(): void {
    const { oid, plan } = readRelation(this.#reader, this.#options.rules, this.#options.tables)
    this.#plans.set(oid, plan)
    if (plan !== null) this.#options.events.relationChanged(plan.table, plan.missing)
  }

  #row(tag: number): void {
    const reader = this.#reader
    const plan = this.#plan(reader.uint32())
    if (plan === null) return
    if (plan.missing.length > 0) return this.#table('unknown', plan.table)
    let mark = reader.uint8()
    let before: Columns | undefined
    if (mark === KEY_TUPLE || mark === OLD_TUPLE) {
      before = readTuple(reader, plan, mark === KEY_TUPLE ? 'key' : 'row')
      if (tag === TAG.update) mark = reader.uint8()
    }
    if (tag === TAG.delete) {
      if (before === undefined) throw new RangeError('a delete has no old tuple')
      return this.#emit('delete', plan, { before, after: NOTHING })
    }
    if (mark !== NEW_TUPLE) throw new RangeError('a row has no new tuple')
    const after = readTuple(reader, plan, 'row')
    if (tag === TAG.insert) return this.#emit('insert', plan, { before: NOTHING, after })
    this.#emit('update', plan, { before: before ?? identityOf(plan, after), after })
  }

  #emit(op: ChangeOp, plan: RelationPlan, rows: { readonly before: Columns; readonly after: Columns }): void {
    const row = op === 'delete' ? rows.before : rows.after
    let key = plan.table
    for (const name of plan.key) key += `|${row[name] ?? rows.before[name] ?? ''}`
    this.#options.sink.row({ op, table: plan.table, ...rows, key })
  }

  #table(op: ChangeOp, table: string): void {
    this.#options.sink.row({ op, table, before: NOTHING, after: NOTHING, key: table })
  }

  #truncate(): void {
    const reader = this.#reader
    const count = reader.uint32()
    reader.skip(1)
    for (let index = 0; index < count; index++) {
      const plan = this.#plan(reader.uint32())
      if (plan !== null) this.#table('truncate', plan.table)
    }
  }

  #message(): void {
    const reader = this.#reader
    reader.skip(1 + 8)
    const prefix = reader.cstring()
    this.#options.sink.message(prefix, reader.text(reader.uint32()))
  }

  #plan(oid: number): RelationPlan | null {
    const plan = this.#plans.get(oid)
    if (plan === undefined) throw new RangeError('a row has no relation')
    return plan
  }

  /** The bytes may hold personal data: only their hash leaves this place. */
  #undecodable(bytes: Buffer): void {
    const sha256 = createHash('sha256').update(bytes).digest()
    const plan = bytes.length >= 5 && bytes[0] !== TAG.truncate ? this.#plans.get(bytes.readUInt32BE(1)) : undefined
    // Without a relation nobody can tell which table changed, so all of them did.
    const tables = plan ? [plan.table] : [...this.#options.rules.tables.keys()]
    this.#options.sink.undecodable(plan?.table ?? '*', sha256)
    for (const table of tables) this.#table('unknown', table)
  }
}

/** An update without an old tuple left the identity alone, so the new row's identity is the old one's. */
function identityOf(plan: RelationPlan, after: Columns): Columns {
  const before = Object.create(null) as Record<string, string | null>
  for (const name of plan.identity) {
    const value = after[name]
    if (value !== undefined) before[name] = value
  }
  return before
}
