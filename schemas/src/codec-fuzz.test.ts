import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeEvent, encodeEvent } from './codec.ts'
import { decodeControl } from './control.ts'
import { UndecodableError } from './errors.ts'
import type { Change, LogEvent } from './events.ts'
import { logEvent } from './testing/arbitraries.ts'
import { goldenEvents } from './testing/golden.ts'
import { HEADER_BYTES, WRITERS } from './wire-types.ts'
import type { WireKind } from './avro-schemas.ts'

// A decode takes microseconds; the limit only has to tell them from a stall (25 ms and more with avsc's own arrays).
const STALL_MS = 500

function decodes(bytes: Buffer): LogEvent | UndecodableError {
  const start = performance.now()
  try {
    return decodeEvent(bytes)
  } catch (error) {
    if (!(error instanceof UndecodableError)) throw error
    return error
  } finally {
    expect(performance.now() - start).toBeLessThan(STALL_MS)
  }
}

/** A varint of this many continuation bytes: NaN or Infinity to a reader that counts in doubles. */
const endless = (length: number, byte: number) => Buffer.alloc(length, byte)

describe('schemas/codec under hostile bytes', () => {
  test('random bytes behind a valid header are an event or an UndecodableError', () => {
    const headers = Object.values(WRITERS).map((writer) => writer.header)
    fc.assert(
      fc.property(fc.constantFrom(...headers), fc.uint8Array({ maxLength: 200 }), (header, body) => {
        expect(decodes(Buffer.concat([header, body]))).toBeTypeOf('object')
      }),
      { numRuns: 5000 },
    )
  })

  test('a truncated record is never taken for an event', () => {
    fc.assert(
      fc.property(logEvent, fc.nat(), (event, cut) => {
        const bytes = encodeEvent(event)
        expect(decodes(bytes.subarray(0, cut % bytes.length))).toBeInstanceOf(UndecodableError)
      }),
      { numRuns: 1000 },
    )
  })

  test('flipped bits give an event or an UndecodableError, and the next record is read as ever', () => {
    const witness = goldenEvents()[0]!
    const witnessBytes = encodeEvent(witness)
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 7 })), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(logEvent, flips, (event, positions) => {
        const bytes = encodeEvent(event)
        for (const [position, bit] of positions) bytes[position % bytes.length]! ^= 1 << bit
        decodes(bytes)
        expect(decodes(witnessBytes)).toEqual(witness)
      }),
      { numRuns: 1000 },
    )
  })

  test('a few bytes that claim a huge length are refused at once', () => {
    const claims = [Buffer.from('feffffffffffffffff01', 'hex'), Buffer.from('feffffff0f', 'hex'), endless(200, 0xff)]
    for (const kind of Object.keys(WRITERS) as WireKind[])
      for (const claim of claims) {
        const before = process.memoryUsage().arrayBuffers
        const body = kind === 'change' ? Buffer.concat([Buffer.from([0]), claim]) : claim
        expect(decodes(Buffer.concat([WRITERS[kind].header, body]))).toBeInstanceOf(UndecodableError)
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
      }
  })

  test('a columns map that claims more than it holds is refused', () => {
    const type = WRITERS.change.type
    const { kind: _, ...change } = goldenEvents()[0] as Change
    const of = (after: Buffer) => {
      const wire = { ...change, before: Buffer.alloc(0), after, index: 0n, commitLsn: 1n }
      return decodes(Buffer.concat([WRITERS.change.header, type.toBuffer(wire)]))
    }
    const many = Buffer.concat(Array.from({ length: 2000 }, (_, index) => Buffer.from(`\u0004${index + 1000}\u0000`)))
    expect(of(Buffer.from('0161013162', 'hex'))).toMatchObject({ code: 'LOCKSTEP_SCHEMA_TRUNCATED' })
    expect(of(Buffer.from('ffffffff7f', 'hex'))).toMatchObject({ code: 'LOCKSTEP_SCHEMA_TRUNCATED' })
    expect(of(Buffer.from('ffffffffff7f', 'hex'))).toMatchObject({ code: 'LOCKSTEP_SCHEMA_MALFORMED' })
    expect(of(Buffer.from('016107', 'hex'))).toMatchObject({ code: 'LOCKSTEP_SCHEMA_MALFORMED' })
    expect(of(Buffer.from('016100016100', 'hex'))).toMatchObject({ code: 'LOCKSTEP_SCHEMA_MALFORMED' })
    expect(of(many)).toMatchObject({ code: 'LOCKSTEP_SCHEMA_MALFORMED' })
    expect(of(Buffer.from('016100', 'hex'))).toMatchObject({ after: { a: null } })
  })

  test('an endless number leaves the next record readable, which avsc alone does not manage', () => {
    const witness = goldenEvents()[0]!
    const bytes = encodeEvent(witness)
    const bomb = Buffer.concat([WRITERS.change.header, Buffer.from([0, 0]), endless(200, 0x80), Buffer.from([0])])
    expect(decodes(bomb)).toMatchObject({ code: 'LOCKSTEP_SCHEMA_MALFORMED' })
    expect(decodes(bytes)).toEqual(witness)
    // The same without the walk, in a process of its own: it breaks avsc's shared pool for good.
    const script = `
      const avro = require('avsc')
      const type = avro.Type.forSchema('bytes')
      try { type.fromBuffer(Buffer.concat([Buffer.alloc(200, 0x80), Buffer.from([0])])) } catch {}
      process.stdout.write(String(type.fromBuffer(Buffer.from('0461626364', 'hex').subarray(0, 3)).length))`
    const length = execFileSync(process.execPath, ['-e', script], { cwd: import.meta.dirname, encoding: 'utf8' })
    expect(length).toBe('0')
  })

  test('random control bytes are a message or an UndecodableError', () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.json().map((json) => Buffer.from(json)),
    )
    fc.assert(
      fc.property(bytes, (input) => {
        expect(() => decodeControl(Buffer.from(input))).toThrow(UndecodableError)
      }),
    )
  })

  test('a header alone is truncated, whatever its kind', () => {
    for (const writer of Object.values(WRITERS)) {
      expect(writer.header).toHaveLength(HEADER_BYTES)
      expect(decodes(writer.header)).toMatchObject({ code: 'LOCKSTEP_SCHEMA_TRUNCATED', disposition: 'poison' })
    }
  })
})
