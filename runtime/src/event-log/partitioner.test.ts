import { Partitioners } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { murmur2, Partitioner } from './partitioner.ts'

describe('Partitioner', () => {
  // Vectors of Kafka's own UtilsTest.testMurmur2.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %s as the Java client does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  test('chooses what the default partitioner of kafkajs chooses', () => {
    const partitionMetadata = Array.from({ length: 7 }, (_, partitionId) => ({
      partitionErrorCode: 0,
      partitionId,
      leader: 1,
      replicas: [1],
      isr: [1],
    }))
    const theirs = Partitioners.DefaultPartitioner()
    const ours = new Partitioner(7)
    for (let index = 0; index < 500; index++) {
      const key = `public.product:${index}:é`
      const expected = theirs({ topic: 't', partitionMetadata, message: { key, value: '' } })
      expect(ours.choose({ key, value: Buffer.alloc(0) })).toBe(expected)
    }
  })

  test('spreads records without key in turn, and accepts only partitions that exist', () => {
    const partitioner = new Partitioner(3)
    const record = { key: null, value: Buffer.alloc(0) }
    expect([0, 1, 2, 3].map(() => partitioner.choose(record))).toEqual([0, 1, 2, 0])
    const accepted = [-1, 0, 2, 3, 0.5].filter((partition) => partitioner.accepts({ ...record, partition }))
    expect(accepted).toEqual([0, 2])
  })
})
