import { epochStart, parseTag } from '@lockstep/schemas'
import { afterEach, describe, expect, test } from 'vitest'
import { NO_BUS_ENTRY } from './purge-ledger.ts'
import { FailNext, withAdvance } from './testing/faulty.ts'
import { Rig, flush, productChange, stampAt, watermark } from './testing/rig.ts'

const product = (id: number) => parseTag(`product:${id}`)
const GARBAGE = Buffer.from('no event at all')
let rig: Rig
afterEach(() => rig.stop())

/** A rig whose first generation is open. */
async function opened(partitions = 1): Promise<Rig> {
  rig = await Rig.create(partitions)
  for (let partition = 0; partition < partitions; partition++) await rig.send(partition, flush(1, { partitions }))
  return rig
}

describe('invalidator: the common path', () => {
  test('a change raises its fences, appends one bus entry and purges each tag behind it', async () => {
    await opened()
    await rig.start()
    await rig.until(() => rig.position() === 1n)
    await rig.send(0, productChange(1, stampAt(1, 5)), productChange(1, stampAt(1, 6)), watermark(stampAt(1, 7), '9'))
    await rig.until(() => rig.purges.length === 2)
    expect(rig.writer.fenceOf(product(1))).toBe(stampAt(1, 6))
    const [, entry] = rig.writer.state.bus
    expect(entry?.entry).toMatchObject({ m: stampAt(1, 7), r: '9' })
    expect(entry?.entry.f.map(([tag]) => tag).toSorted()).toEqual(['category:1', 'product:1'])
    expect(rig.purges.every(({ busId }) => busId === entry?.id)).toBe(true)
    expect(rig.position()).toBe(4n)
  })

  test('a class tag is fenced in w and purged, and raises no plain fence', async () => {
    await opened()
    await rig.start()
    await rig.send(0, productChange(1, stampAt(1, 5), { op: 'truncate', before: {}, after: {} }))
    await rig.until(() => rig.purgedTags.includes('product:*'))
    expect(rig.writer.state.fences.size).toBe(0)
    expect(rig.writer.fenceOf(product(77))).toBe(stampAt(1, 5))
  })

  test('a batch of many tags reaches Redis in calls of at most 192', async () => {
    await opened()
    const sizes: number[] = []
    const { writer } = rig
    const counting = withAdvance(writer, (batch) => {
      sizes.push(batch.fences.length)
      return writer.advance(batch)
    })
    // 500 records are one batch of the memory log; three tags of its own each.
    const moved = Array.from({ length: 499 }, (_, id) =>
      productChange(id, stampAt(1, 5), {
        before: { id: `${id}`, category_id: `a${id}` },
        after: { id: `${id}`, category_id: `b${id}` },
      }),
    )
    await rig.send(0, ...moved)
    await rig.start({ writer: counting })
    await rig.until(() => rig.purges.length === 499 * 3)
    expect(Math.max(...sizes)).toBe(192)
    expect(sizes.reduce((a, b) => a + b)).toBe(499 * 3)
  })

  // Two tags of its own each: 96 are one step, all are five.
  const changesOfFiveSteps = Array.from({ length: 480 }, (_, id) =>
    productChange(id, stampAt(1, 5), { category: `${id}` }),
  )
  const tagsOfFiveSteps = 960

  test('the steps of a long batch are sent without waiting, four ahead of the answers', async () => {
    await opened()
    const { writer } = rig
    const gate = Promise.withResolvers<undefined>()
    const begun: bigint[] = []
    const slow = withAdvance(writer, async (batch) => {
      begun.push(batch.from)
      await gate.promise
      return writer.advance(batch)
    })
    await rig.send(0, ...changesOfFiveSteps)
    await rig.start({ writer: slow })
    await rig.until(() => begun.length > 0)
    await rig.settle()
    expect(begun).toEqual([1n, 97n, 193n, 289n])
    gate.resolve(undefined)
    await rig.until(() => rig.purges.length === tagsOfFiveSteps)
  })

  test('what was sent behind a refused step counts not, and goes again from where w stands', async () => {
    await opened()
    const { writer } = rig
    // Another replica was here and committed nothing.
    await writer.open({ generation: 1, partition: 0, next: 1n, partitions: 1 })
    await writer.advance({ partition: 0, from: 1n, to: 50n, fences: [] })
    const begun: bigint[] = []
    await rig.send(0, ...changesOfFiveSteps)
    const noting = withAdvance(writer, (batch) => {
      begun.push(batch.from)
      return writer.advance(batch)
    })
    await rig.start({ writer: noting })
    await rig.until(() => rig.purges.length === tagsOfFiveSteps)
    expect(begun.filter((from) => from === 1n)).toHaveLength(1)
    for (let id = 0; id < changesOfFiveSteps.length; id++) expect(writer.fenceOf(product(id))).toBe(stampAt(1, 5))
  })

  test('a step that fails while an earlier one is on its way is sent again with its batch', async () => {
    await opened()
    const { writer } = rig
    const gate = Promise.withResolvers<undefined>()
    let calls = 0
    const flaky = withAdvance(writer, async (batch) => {
      calls += 1
      if (calls === 2) throw new Error('connection lost')
      if (calls === 1) await gate.promise
      return writer.advance(batch)
    })
    await rig.send(0, ...changesOfFiveSteps)
    await rig.start({ writer: flaky })
    await rig.until(() => calls === 4)
    // Only now a rejection that nobody waits for would end the process.
    await new Promise(setImmediate)
    gate.resolve(undefined)
    await rig.settle()
    await rig.clock.advance(100)
    await rig.until(() => rig.purges.length === tagsOfFiveSteps)
    for (let id = 0; id < changesOfFiveSteps.length; id++) expect(writer.fenceOf(product(id))).toBe(stampAt(1, 5))
  })

  test('nothing is stale with fences on, and the unsafe switch makes this very check fail', async () => {
    const fenceAfterChange = async (skipFences: boolean) => {
      await opened()
      await rig.start({ unsafe: { skipFences } })
      await rig.send(0, productChange(1, stampAt(1, 5)))
      await rig.until(() => rig.purges.length === 2)
      return rig.writer.fenceOf(product(1))
    }
    expect(await fenceAfterChange(false)).toBe(stampAt(1, 5))
    await rig.stop()
    expect(await fenceAfterChange(true)).not.toBe(stampAt(1, 5))
  })

  test('status tells positions, generation, latency and the age of the watermark', async () => {
    await opened()
    const service = await rig.start()
    await rig.until(() => service.status().watermarkAgeMs !== undefined && rig.controls.length > 0)
    const echo = rig.controls.find((message) => message.kind === 'echo')
    await rig.send(0, productChange(1, stampAt(1, 5)), watermark(stampAt(1, 7), echo?.redisTimeUs))
    await rig.until(() => rig.purges.length === 2)
    const status = service.status()
    expect(status).toMatchObject({
      generation: 1,
      partitions: { 0: { position: '3', watermark: stampAt(1, 7), brokenAt: null } },
    })
    expect(status.watermarkAgeMs).toBe(0)
    expect(status.commitToRedis.count).toBe(1)
  })

  test('a partition that another replica took over no longer ages the watermark', async () => {
    await opened(2)
    const service = await rig.start()
    await rig.until(() => rig.position(0) === 1n && rig.position(1) === 1n && rig.controls.length > 0)
    const beat = async (partition: number) => {
      await rig.send(partition, watermark(stampAt(1, 9), String(await rig.writer.redisTimeUs()), 2))
      await rig.settle()
    }
    await beat(0)
    await beat(1)
    expect(service.status().watermarkAgeMs).toBe(0)
    await rig.clock.advance(30_000)
    await beat(0)
    expect(service.status().watermarkAgeMs).toBe(30_000)
    await rig.clock.advance(31_000)
    await beat(0)
    expect(service.status().watermarkAgeMs).toBe(0)
    expect(Object.keys(service.status().partitions)).toEqual(['0'])
  })
})

describe('invalidator: generations', () => {
  test('without w a generation above the newest of the log is asked for, and changes before it still reach the edge', async () => {
    rig = await Rig.create()
    await rig.start()
    await rig.send(0, productChange(1, stampAt(4, 5)))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toEqual({ kind: 'new-generation', above: 4, reason: 'redis-emptied', edge: false })
    expect(rig.writer.state.w).toBeNull()
    expect(rig.purges.map(({ tag, busId }) => [tag, busId])).toEqual(
      expect.arrayContaining([['product:1', NO_BUS_ENTRY]]),
    )
    await rig.send(0, flush(5), productChange(2, stampAt(5, 6)))
    await rig.until(() => rig.position() === 3n)
    expect(rig.writer.fenceOf(product(1))).toBe(epochStart(5))
  })

  test('a request is repeated each second, not with each batch, until its flush arrives', async () => {
    rig = await Rig.create()
    await rig.start()
    for (let beat = 0; beat < 5; beat++) {
      await rig.send(0, watermark(stampAt(4, beat)))
      await rig.settle()
    }
    expect(rig.requests).toHaveLength(1)
    await rig.clock.advance(1_001)
    await rig.send(0, watermark(stampAt(4, 9)))
    await rig.until(() => rig.requests.length === 2)
    await rig.send(0, flush(5))
    await rig.until(() => rig.position() !== undefined)
    await rig.clock.advance(5_000)
    await rig.send(0, watermark(stampAt(5, 10)))
    await rig.until(() => rig.position() === 8n)
    expect(rig.requests).toHaveLength(2)
  })

  test('a flush in the same batch answers what the records before it would have asked for', async () => {
    rig = await Rig.create()
    await rig.send(0, productChange(1, stampAt(4, 5)), flush(5), productChange(2, stampAt(5, 6)))
    await rig.start()
    await rig.until(() => rig.position() === 3n && rig.purgedTags.includes('product:1'))
    expect(rig.requests).toEqual([])
    expect(rig.purges.find(({ tag }) => tag === 'product:1')?.busId).toBe(rig.writer.state.bus[0]?.id)
  })

  test('an edge flush is purged by the partition that opens and by partition 0, never by all', async () => {
    rig = await Rig.create(4)
    await rig.start()
    const begin = flush(2, { edge: true, partitions: 4, reason: 'slot-lost' })
    for (const partition of [2, 0, 1, 3]) await rig.send(partition, begin)
    await rig.until(() => [0, 1, 2, 3].every((partition) => rig.position(partition) === 1n))
    await rig.settle()
    expect(rig.purges.map(({ tag, stamp }) => [tag, stamp])).toEqual([
      ['*', epochStart(2)],
      ['*', epochStart(2)],
    ])
  })

  test('a flush that spares the edge purges nothing', async () => {
    rig = await Rig.create(2)
    await rig.start()
    for (const partition of [0, 1]) await rig.send(partition, flush(2, { partitions: 2 }))
    await rig.until(() => rig.position(1) === 1n && rig.position(0) === 1n)
    await rig.settle()
    expect(rig.purges).toEqual([])
  })

  test('a partition that has not met the flush skips older changes without asking for another generation', async () => {
    await opened(2)
    await rig.start()
    await rig.until(() => rig.position(1) === 1n)
    await rig.send(0, flush(2, { partitions: 2 }))
    await rig.until(() => rig.writer.state.w?.generation === 2)
    await rig.send(1, productChange(1, stampAt(1, 5)), watermark(stampAt(1, 6), '0', 2))
    await rig.until(() => rig.purges.length === 2)
    expect(rig.position(1)).toBeUndefined()
    await rig.send(1, flush(2, { partitions: 2 }), productChange(2, stampAt(2, 7)))
    await rig.until(() => rig.position(1) === 5n)
    expect(rig.requests).toEqual([])
    expect(rig.writer.fenceOf(product(1))).toBe(epochStart(2))
  })

  test('a watermark taken after w knew the generation proves that the flush was missed', async () => {
    rig = await Rig.create(2)
    await rig.start()
    await rig.send(0, flush(2, { partitions: 2 }))
    await rig.until(() => rig.position(0) === 1n)
    await rig.send(1, watermark(stampAt(2, 5), '0', 2))
    await rig.settle()
    expect(rig.requests).toEqual([])
    await rig.clock.advance(10)
    await rig.send(1, watermark(stampAt(2, 6), String(await rig.writer.redisTimeUs()), 2))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 2, reason: 'flush-missed', edge: true })
  })

  test('a flush that is sent twice moves on and loses nothing around it', async () => {
    await opened()
    await rig.send(0, productChange(1, stampAt(1, 5)), flush(1), productChange(2, stampAt(1, 6)))
    await rig.start()
    await rig.until(() => rig.position() === 4n)
    expect(rig.writer.fenceOf(product(1))).toBe(stampAt(1, 5))
    expect(rig.writer.fenceOf(product(2))).toBe(stampAt(1, 6))
  })
})

describe('invalidator: unreadable records', () => {
  test('an unreadable record goes to dead letters, purges everything and asks for a generation', async () => {
    await opened()
    await rig.send(0, productChange(1, stampAt(1, 5)), GARBAGE, productChange(2, stampAt(1, 6)))
    await rig.start()
    await rig.until(() => rig.letters.length === 1 && rig.requests.length === 1)
    expect(rig.letters[0]).toMatchObject({ topic: 'changes', partition: 0, offset: 2n, payload: GARBAGE })
    expect(rig.requests[0]).toMatchObject({ above: 1, reason: 'unreadable-record', edge: true })
    expect(rig.purges).toContainEqual(expect.objectContaining({ tag: '*', busId: NO_BUS_ENTRY }))
    expect(rig.position()).toBe(2n)
  })

  test('nothing behind an unreadable record counts as applied before a newer generation covers it', async () => {
    await opened()
    await rig.send(0, GARBAGE)
    await rig.start()
    await rig.until(() => rig.letters.length === 1)
    await rig.send(0, watermark(stampAt(1, 9), '5'))
    await rig.send(0, flush(1), watermark(stampAt(1, 10), '6'))
    await rig.settle()
    expect(rig.position()).toBe(1n)
    expect(rig.writer.state.bus.every(({ entry }) => entry.r === '')).toBe(true)
    await rig.send(0, flush(2, { edge: true }), productChange(3, stampAt(2, 11)))
    await rig.until(() => rig.position() === 7n)
    expect(rig.writer.fenceOf(product(3))).toBe(stampAt(2, 11))
  })

  test('unreadable records in a row are one hole, and every one of them is a dead letter', async () => {
    await opened()
    await rig.send(0, GARBAGE, GARBAGE, productChange(1, stampAt(1, 6)))
    await rig.start()
    await rig.until(() => rig.letters.length === 2 && rig.purgedTags.includes('product:1'))
    await rig.send(0, flush(2, { edge: true }), watermark(stampAt(2, 7), '1'))
    await rig.until(() => rig.position() === 6n)
    expect(rig.letters.map(({ offset }) => offset)).toEqual([1n, 2n])
  })

  test('dead letters that cannot be sent hold the partition back', async () => {
    await opened()
    const plan = new FailNext('before produce dead-letters')
    plan.left = 3
    await rig.send(0, GARBAGE)
    await rig.start({ plan })
    await rig.until(() => plan.left === 2)
    await rig.settle()
    expect(rig.letters).toEqual([])
    expect(rig.purges).toEqual([])
    await rig.clock.advance(2_000)
    expect(plan.left).toBe(0)
    await rig.until(() => rig.letters.length === 1)
    expect(rig.purgedTags).toContain('*')
  })
})
