import { createHash } from 'node:crypto'
import type { Lsn, RuleSet } from '@lockstep/schemas'
import { fail } from './errors.ts'
import { PgoutputReader } from './pgoutput-reader.ts'
import { readRelation } from './relations.ts'
import type { RelationPlan, TableIdentity } from './relations.ts'
import { tableRow } from './row.ts'
import type { Row } from './row.ts'
import { RowWriter } from './row-writer.ts'

/** What a Begin message says. */
export interface BeginFrame {
  readonly xid: number
  /** Start of the commit record. */
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
}

/** Takes decoded frames, in order and synchronously. Nothing handed over shares memory with the input; a row is good for the call. */
export interface FrameSink {
  begin(frame: BeginFrame): void
  row(row: Row): void
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

/** Decodes pgoutput, protocol version 1, keeping only the columns that rules and keys need. One per stream. */
export class Decoder {
  readonly #reader = new PgoutputReader()
  readonly #writer = new RowWriter()
  readonly #plans = new Map<number, RelationPlan | null>()
  readonly #options: DecoderOptions

  constructor(options: DecoderOptions) {
    this.#options = options
  }

  /**
   * Decodes the message in `bytes[start…end)`. A row that cannot be read becomes a change of its whole table.
   * @throws LockstepError LOCKSTEP_CON_PROTOCOL where the frame of transactions itself cannot be followed.
   */
  parse(bytes: Buffer, start = 0, end = bytes.length): void {
    this.#reader.reset(bytes, start, end)
    const tag = bytes[start] ?? 0
    try {
      this.#reader.skip(1)
      this.#dispatch(tag)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      if (tag !== TAG.insert && tag !== TAG.update && tag !== TAG.delete && tag !== TAG.truncate)
        throw fail('LOCKSTEP_CON_PROTOCOL', { detail: error.message }, error)
      this.#undecodable(bytes.subarray(start, end))
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
    const [reader, writer] = [this.#reader, this.#writer]
    const plan = this.#plan(reader.uint32())
    if (plan === null) return
    if (plan.missing.length > 0) return this.#options.sink.row(tableRow('unknown', plan.table))
    let mark = reader.uint8()
    writer.begin(reader, plan)
    const hasOld = mark === KEY_TUPLE || mark === OLD_TUPLE
    if (hasOld) {
      writer.old(reader, plan, mark === KEY_TUPLE)
      if (tag === TAG.update) mark = reader.uint8()
    }
    if (tag === TAG.delete) {
      if (!hasOld) throw new RangeError('a delete has no old tuple')
    } else {
      if (mark !== NEW_TUPLE) throw new RangeError('a row has no new tuple')
      if (tag === TAG.update && !hasOld) writer.identity(reader, plan)
      writer.new(reader, plan)
    }
    const op = tag === TAG.insert ? 'insert' : tag === TAG.update ? 'update' : 'delete'
    this.#options.sink.row(writer.finish(op, reader, plan))
  }

  #truncate(): void {
    const reader = this.#reader
    const count = reader.uint32()
    reader.skip(1)
    for (let index = 0; index < count; index++) {
      const plan = this.#plan(reader.uint32())
      if (plan !== null) this.#options.sink.row(tableRow('truncate', plan.table))
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
    for (const table of tables) this.#options.sink.row(tableRow('unknown', table))
  }
}
