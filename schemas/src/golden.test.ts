import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { SCHEMA_VERSIONS } from './avro-schemas.ts'
import type { WireKind, WireSchema } from './avro-schemas.ts'
import { decodeEvent, encodeEvent } from './codec.ts'
import { compatibilityFaults } from './testing/compatibility.ts'
import { fixtureUrl, parseFixture } from './testing/golden.ts'
import { READERS, buildType, fingerprintOf } from './wire-types.ts'

const fixtures = SCHEMA_VERSIONS.flatMap((schemas, index) =>
  readdirSync(fixtureUrl(index + 1)).map((file) => ({
    version: index + 1,
    file,
    schemas,
    fixture: parseFixture(readFileSync(new URL(file, fixtureUrl(index + 1)), 'utf8')),
  })),
)

const change = SCHEMA_VERSIONS[0]!.change
const withField = (field: WireSchema['fields'][number]): WireSchema => ({
  ...change,
  fields: [...change.fields, field],
})

describe('schemas/golden', () => {
  test('every version of every record has a fixture', () => {
    for (const [index, schemas] of SCHEMA_VERSIONS.entries()) {
      const files = fixtures.filter(({ version }) => version === index + 1).map(({ file }) => file)
      expect(files.sort()).toEqual(
        Object.keys(schemas)
          .map((kind) => `${kind}.json`)
          .sort(),
      )
    }
  })

  test.each(fixtures)('the bytes of v$version/$file are read by the current reader', ({ fixture }) => {
    expect(decodeEvent(Buffer.from(fixture.hex, 'hex'))).toEqual(fixture.event)
  })

  test.each(fixtures)('the schema of v$version/$file is the one shipped, defaults included', ({ fixture, schemas }) => {
    expect(schemas[fixture.event.kind]).toStrictEqual(fixture.schema)
  })

  test.each(fixtures.filter(({ version }) => version === SCHEMA_VERSIONS.length))(
    'v$version/$file is what the current writer writes',
    ({ fixture }) => {
      expect(encodeEvent(fixture.event).toString('hex')).toBe(fixture.hex)
    },
  )

  test('every two versions are compatible in both directions', () => {
    for (const older of SCHEMA_VERSIONS)
      for (const newer of SCHEMA_VERSIONS)
        for (const kind of Object.keys(older) as WireKind[]) {
          expect(compatibilityFaults(older[kind], newer[kind])).toEqual([])
          expect(() => buildType(newer[kind]).createResolver(buildType(older[kind]))).not.toThrow()
        }
  })

  test('every schema ever written is found by its fingerprint', () => {
    for (const schemas of SCHEMA_VERSIONS)
      for (const [kind, schema] of Object.entries(schemas))
        expect(READERS.get(fingerprintOf(buildType(schema)))?.kind).toBe(kind)
  })
})

describe('schemas/compatibility', () => {
  test('a field may be added or removed only with a default', () => {
    expect(compatibilityFaults(change, withField({ name: 'source', type: 'string', default: '' }))).toEqual([])
    const bare = withField({ name: 'source', type: 'string' })
    expect(compatibilityFaults(change, bare)).toEqual(['Change.source: added without a default'])
    expect(compatibilityFaults(bare, change)).toEqual(['Change.source: removed without a default'])
  })

  test('a field keeps its type and its enum default, though avsc’s fingerprint would not notice the latter', () => {
    const retyped = change.fields.map((field) =>
      field.name === 'table' ? { ...field, type: 'bytes' as const } : field,
    )
    expect(compatibilityFaults(change, { ...change, fields: retyped })).toEqual(['Change.table: changed its type'])
    const op = { ...(change.fields[0]!.type as Extract<(typeof change.fields)[0]['type'], object>), default: 'insert' }
    const fields = change.fields.map((field) => (field.name === 'op' ? { ...field, type: op } : field))
    expect(compatibilityFaults(change, { ...change, fields })).toEqual(['Change.op: changed its type'])
    expect(buildType({ ...change, fields }).fingerprint()).toEqual(buildType(change).fingerprint())
  })

  test('a record is never renamed', () => {
    expect(compatibilityFaults(change, { ...change, name: 'RowChange' })).toHaveLength(1)
  })

  test('an older record is read with the defaults of what it lacks, a newer one without what is unknown', () => {
    const newer = withField({ name: 'source', type: 'string', default: 'main' })
    const [oldType, newType] = [buildType(change), buildType(newer)]
    const wire = {
      op: 'insert',
      table: 't',
      before: Buffer.alloc(0),
      after: Buffer.alloc(0),
      stamp: '',
      commitLsn: 1n,
      index: 0n,
      xid: 2n,
      commitTimeUs: 3n,
    }
    expect(newType.fromBuffer(oldType.toBuffer(wire), newType.createResolver(oldType))).toMatchObject({
      source: 'main',
    })
    const read: unknown = oldType.fromBuffer(
      newType.toBuffer({ ...wire, source: 'x' }),
      oldType.createResolver(newType),
    )
    expect(read).not.toHaveProperty('source')
  })

  test('an operation that a newer writer adds reads as unknown', () => {
    const op = change.fields[0]!.type as Extract<(typeof change.fields)[0]['type'], object>
    const [reader, writer] = [op, { ...op, symbols: ['merge', ...op.symbols] }].map((type) =>
      buildType({ ...change, fields: [{ name: 'op', type }] }),
    )
    const bytes = writer!.toBuffer({ op: 'merge' })
    expect(reader!.fromBuffer(bytes, reader!.createResolver(writer!))).toMatchObject({ op: 'unknown' })
  })
})
