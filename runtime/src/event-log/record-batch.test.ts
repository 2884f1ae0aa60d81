import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c } from './crc32c.ts'
import { encodeHeaders, RecordBatch } from './record-batch.ts'

// The decoder of the client that reads our topics.
const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<{
  readonly firstSequence: number
  readonly producerId: string
  readonly producerEpoch: number
  readonly lastOffsetDelta: number
  readonly firstTimestamp: string
  readonly records: readonly {
    readonly key: Buffer | null
    readonly value: Buffer
    readonly offset: string
    readonly headers: Readonly<Record<string, Buffer>>
  }[]
}>
const theirCrc = require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number

const stamp = { producerId: 7n, producerEpoch: 3, sequence: 41 }
const keys = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null })
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
// What every object has counts for a header that came before in kafkajs.
const headerName = text.filter((name) => !(name in {}))
const headers = fc.option(fc.dictionary(headerName, text, { maxKeys: 3, noNullPrototype: true }), { nil: undefined })
const records = fc.array(fc.tuple(keys, fc.uint8Array({ maxLength: 20_000 }), headers), { minLength: 1, maxLength: 40 })

describe('runtime/event-log/record-batch', () => {
  test('the checksum is Castagnoli’s', () => {
    expect(crc32c(Buffer.from('123456789'), 0, 9)).toBe(0xe3069283)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(20), (bytes, from) => {
        const start = Math.min(from, bytes.length)
        expect(crc32c(bytes, start, bytes.length)).toBe(theirCrc(Buffer.from(bytes.subarray(start))))
      }),
    )
  })

  test('kafkajs reads back what was written, batch after batch of one writer', async () => {
    const batch = new RecordBatch()
    await fc.assert(
      fc.asyncProperty(records, async (list) => {
        batch.reset()
        for (const [key, value, named] of list) batch.append(key, value, named && encodeHeaders(named))
        const bytes = batch.finish(stamp, 1_763_727_877_000)
        expect(bytes.readInt32BE(8)).toBe(bytes.length - 12)
        expect(bytes.readUInt32BE(17)).toBe(theirCrc(bytes.subarray(21)))
        const read = await decodeBatch(new Decoder(Buffer.from(bytes)))
        expect(read).toMatchObject({
          producerId: '7',
          producerEpoch: 3,
          firstSequence: 41,
          lastOffsetDelta: list.length - 1,
        })
        expect(read.firstTimestamp).toBe('1763727877000')
        const seen = read.records.map(({ key, value, headers: named }) => [
          key === null ? null : new Uint8Array(key),
          new Uint8Array(value),
          Object.entries(named).map(([name, bytes]) => [name, bytes.toString()]),
        ])
        expect(seen).toEqual(list.map(([key, value, named = {}]) => [key, value, Object.entries(named)]))
        expect(read.records.map(({ offset }) => Number(offset))).toEqual(list.map((_each, index) => index))
      }),
      { numRuns: 50 },
    )
  })
})
