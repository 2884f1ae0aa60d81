/** Names the kinds of Avro primitives that wire records use. No arrays, maps or unions: avsc trusts their block counts. */
export type WireFieldType = 'string' | 'bytes' | 'int' | 'long' | 'boolean' | WireEnum

/** Is an enum on the wire; `default` is what a reader makes of a symbol it does not know. */
export interface WireEnum {
  readonly type: 'enum'
  readonly name: string
  readonly symbols: readonly string[]
  readonly default: string
}

/** Describes one field; fields added after version 1 carry a default. */
export interface WireField {
  readonly name: string
  readonly type: WireFieldType
  readonly default?: string | number | boolean
}

/** Describes one Avro record schema of Lockstep. */
export interface WireSchema {
  readonly type: 'record'
  readonly name: string
  readonly namespace: 'lockstep'
  readonly fields: readonly WireField[]
}

/** Says which event a schema carries. */
export type WireKind = 'change' | 'watermark' | 'flush' | 'purge' | 'dead-letter'

/** What a change did, by its number on the wire. */
export const CHANGE_OPS = ['insert', 'update', 'delete', 'truncate', 'bulk', 'unknown'] as const

const OP: WireEnum = {
  type: 'enum',
  name: 'ChangeOp',
  symbols: CHANGE_OPS,
  default: 'unknown',
}

function record(name: string, fields: Readonly<Record<string, WireFieldType>>): WireSchema {
  const list = Object.entries(fields).map(([field, type]) => ({ name: field, type }))
  return { type: 'record', name, namespace: 'lockstep', fields: list }
}

/** Holds the first schemas ever written. Frozen: fixtures/v1 keeps a copy and bytes of each. */
const VERSION_1: Readonly<Record<WireKind, WireSchema>> = {
  change: record('Change', {
    op: OP,
    table: 'string',
    before: 'bytes',
    after: 'bytes',
    stamp: 'string',
    commitLsn: 'long',
    index: 'long',
    xid: 'long',
    commitTimeUs: 'long',
  }),
  watermark: record('Watermark', { stamp: 'string', lsn: 'long', partitions: 'int', echo: 'string' }),
  flush: record('Flush', { generation: 'long', reason: 'string', edge: 'boolean', partitions: 'int' }),
  purge: record('PurgeCommand', {
    id: 'string',
    tag: 'string',
    stamp: 'string',
    commitLsn: 'long',
    commitTimeUs: 'long',
    busId: 'string',
    reason: 'string',
  }),
  'dead-letter': record('DeadLetter', {
    code: 'string',
    message: 'string',
    topic: 'string',
    partition: 'int',
    offset: 'long',
    payload: 'bytes',
  }),
}

/**
 * Lists every version ever written, oldest first; the last one is written and read as. A topic keeps old records and
 * a rolling deploy mixes versions, so each change is compatible in both directions: append a version here whose new
 * fields have defaults, remove only fields that have one, rename nothing.
 */
export const SCHEMA_VERSIONS: readonly Readonly<Record<WireKind, WireSchema>>[] = [VERSION_1]
