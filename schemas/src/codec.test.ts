import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SCHEMA_VERSIONS } from './avro-schemas.ts'
import type { WireFieldType } from './avro-schemas.ts'
import { decodeEvent, encodeEvent } from './codec.ts'
import type { UndecodableError } from './errors.ts'
import type { Change, DeadLetter } from './events.ts'
import { logEvent } from './testing/arbitraries.ts'
import { goldenEvents } from './testing/golden.ts'
import { HEADER_BYTES, WRITERS } from './wire-types.ts'

const change = goldenEvents()[0] as Change

function codeOf(bytes: Buffer): string {
  try {
    decodeEvent(bytes)
  } catch (error) {
    return (error as UndecodableError).code
  }
  return 'decoded'
}

describe('schemas/codec', () => {
  test('every event comes back as it was', () => {
    fc.assert(
      fc.property(logEvent, (event) => {
        expect(decodeEvent(encodeEvent(event))).toEqual(event)
      }),
      { numRuns: 500 },
    )
  })

  test('an encoded event is the caller’s: later ones do not change it', () => {
    const first = encodeEvent(change)
    const copy = Buffer.from(first)
    encodeEvent({ ...change, table: 'other.table', after: { id: '99' } })
    expect(first).toEqual(copy)
  })

  test('a record far larger than the buffer is written whole, and a small one after it as well', () => {
    const big = { ...change, after: { body: 'ü'.repeat(3_000_000) } }
    expect(decodeEvent(encodeEvent(big))).toEqual(big)
    expect(decodeEvent(encodeEvent(change))).toEqual(change)
    const letter = { ...(goldenEvents()[4] as DeadLetter), payload: Buffer.alloc(5_000_000, 7) }
    const decoded = decodeEvent(encodeEvent(letter)) as DeadLetter
    expect(decoded.payload.equals(letter.payload)).toBe(true)
  })

  test('a column that was not sent is absent, which NULL is not', () => {
    const decoded = decodeEvent(encodeEvent({ ...change, after: { id: null } })) as Change
    expect(decoded.after.id).toBeNull()
    expect(decoded.after.name).toBeUndefined()
    expect(decoded.after.constructor).toBeUndefined()
  })

  test('the header is c301 and the fingerprint of the canonical form, little-endian', () => {
    // Computed once by an independent implementation of CRC-64-AVRO over the canonical form.
    expect(encodeEvent(goldenEvents()[1]!).subarray(0, HEADER_BYTES).toString('hex')).toBe('c301f0dc9c2e2a6b9655')
  })

  test('bytes that are none of ours are refused by a code that says why', () => {
    const good = encodeEvent(change)
    const unknown = Buffer.from(good)
    unknown[5]! ^= 1
    expect(codeOf(Buffer.alloc(0))).toBe('LOCKSTEP_SCHEMA_FRAMING')
    // Confluent framing: a zero and a schema id.
    expect(codeOf(Buffer.from('0000000001020304050607', 'hex'))).toBe('LOCKSTEP_SCHEMA_FRAMING')
    expect(codeOf(Buffer.concat([Buffer.from([0]), good]))).toBe('LOCKSTEP_SCHEMA_FRAMING')
    expect(codeOf(unknown)).toBe('LOCKSTEP_SCHEMA_FINGERPRINT')
    expect(codeOf(good.subarray(0, -1))).toBe('LOCKSTEP_SCHEMA_TRUNCATED')
    expect(codeOf(good.subarray(0, HEADER_BYTES))).toBe('LOCKSTEP_SCHEMA_TRUNCATED')
    expect(codeOf(Buffer.concat([good, Buffer.from([0])]))).toBe('LOCKSTEP_SCHEMA_TRAILING')
  })

  test('values that no Lockstep process writes are refused', () => {
    const [, watermark, flush, purge] = goldenEvents()
    expect(codeOf(encodeEvent({ ...watermark, stamp: 'F'.repeat(28) } as never))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
    expect(codeOf(encodeEvent({ ...watermark, partitions: 0 } as never))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
    expect(codeOf(encodeEvent({ ...watermark, echo: '1e9' } as never))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
    expect(codeOf(encodeEvent({ ...flush, generation: 2 ** 32 } as never))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
    expect(codeOf(encodeEvent({ ...flush, generation: -1 } as never))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
    expect(codeOf(encodeEvent({ ...purge, tag: 'a\nb' } as never))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
    const wire = { ...change, before: Buffer.alloc(0), after: Buffer.alloc(0), index: -1n, commitLsn: 1n, xid: 1n }
    const body = WRITERS.change.type.toBuffer(wire)
    expect(codeOf(Buffer.concat([WRITERS.change.header, body]))).toBe('LOCKSTEP_SCHEMA_MALFORMED')
  })

  test('an enum symbol beyond the writer’s list is refused', () => {
    const bytes = encodeEvent(change)
    bytes[HEADER_BYTES] = 2 * 6
    expect(codeOf(bytes)).toBe('LOCKSTEP_SCHEMA_MALFORMED')
  })

  test('what cannot be written exactly is not written', () => {
    expect(() => encodeEvent({ ...change, commitTimeUs: 2n ** 63n })).toThrow(RangeError)
    expect(() => encodeEvent({ ...change, index: 1.5 })).toThrow(RangeError)
    expect(() => encodeEvent({ ...change, index: -1 })).toThrow(RangeError)
    expect(() => encodeEvent({ ...change, op: 'merge' } as never)).toThrow(RangeError)
  })

  test('a schema has no field of an unbounded kind', () => {
    const bounded = ['string', 'bytes', 'int', 'long', 'boolean']
    const types = SCHEMA_VERSIONS.flatMap((schemas) => Object.values(schemas))
      .flatMap((schema) => schema.fields)
      .map((field) => field.type)
    const isBounded = (type: WireFieldType) =>
      typeof type === 'string' ? bounded.includes(type) : type.symbols.includes(type.default)
    expect(types.filter((type) => !isBounded(type))).toEqual([])
  })

  test('a written record has exactly the fields of its schema', () => {
    const faults: string[] = []
    const type = WRITERS['dead-letter'].type
    const { kind: _, ...wire } = goldenEvents()[4]!
    type.isValid(wire, { noUndeclaredFields: true, errorHook: (path) => faults.push(path.join('.')) })
    expect(faults).toEqual([])
  })
})
