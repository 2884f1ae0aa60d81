import avro from 'avsc'
import { BIGINT_LONG } from './avro-long.ts'
import { SCHEMA_VERSIONS } from './avro-schemas.ts'
import type { WireKind, WireSchema } from './avro-schemas.ts'
import { fingerprint64 } from './fingerprint.ts'

/** First two bytes of Avro's single-object encoding. */
export const MARKER = 0xc301
/** Marker and little-endian fingerprint. */
export const HEADER_BYTES = 10

/** What records of one kind are written with now. */
export interface Writer {
  readonly type: avro.Type
  readonly header: Buffer
}

/** How records written with one schema version are read as the newest. */
export interface Reader {
  readonly kind: WireKind
  readonly written: WireSchema
  readonly type: avro.Type
  readonly resolver: ReturnType<avro.Type['createResolver']>
}

/** Builds the avsc type of a wire schema, with exact 64-bit longs. About 0.1 ms: once per schema and process. */
export function buildType(schema: WireSchema): avro.Type {
  return avro.Type.forSchema(schema as unknown as avro.Schema, {
    registry: { long: BIGINT_LONG },
    wrapUnions: 'never',
    omitRecordMethods: true,
  })
}

/** Computes the fingerprint that names a schema on the wire; avsc's `schema()` as JSON is the canonical form. */
export function fingerprintOf(type: avro.Type): bigint {
  return fingerprint64(JSON.stringify(type.schema()))
}

const newest = SCHEMA_VERSIONS.at(-1)!
const kinds = Object.keys(newest) as WireKind[]
const newestTypes = Object.fromEntries(kinds.map((kind) => [kind, buildType(newest[kind])])) as Record<
  WireKind,
  avro.Type
>

/** Holds the writer of each kind of record. */
export const WRITERS = Object.fromEntries(
  kinds.map((kind) => [kind, { type: newestTypes[kind], header: headerOf(fingerprintOf(newestTypes[kind])) }]),
) as Readonly<Record<WireKind, Writer>>

/** Maps the fingerprint of every schema ever written to its reader. */
export const READERS: ReadonlyMap<bigint, Reader> = new Map(
  SCHEMA_VERSIONS.flatMap((schemas) =>
    kinds.filter((kind) => schemas[kind]).map((kind) => readerOf(kind, schemas[kind])),
  ),
)

function readerOf(kind: WireKind, written: WireSchema): [bigint, Reader] {
  const writer = buildType(written)
  const type = newestTypes[kind]
  return [fingerprintOf(writer), { kind, written, type, resolver: type.createResolver(writer) }]
}

function headerOf(fingerprint: bigint): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(MARKER, 0)
  header.writeBigUInt64LE(fingerprint, 2)
  return header
}
