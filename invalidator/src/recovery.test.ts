import { FENCES_PER_ADVANCE } from '@lockstep/cache'
import { epochStart, parseTag } from '@lockstep/schemas'
import { afterEach, describe, expect, test } from 'vitest'
import type { UnsafeInvalidatorOptions } from './invalidator.ts'
import { NO_BUS_ENTRY } from './purge-ledger.ts'
import { FailNext, withAdvance } from './testing/faulty.ts'
import type { FenceState } from './testing/memory-fence-writer.ts'
import { Rig, flush, productChange, stampAt, watermark } from './testing/rig.ts'

const product = (id: number) => parseTag(`product:${id}`)
let rig: Rig
afterEach(() => rig.stop())

describe('invalidator: a Redis that forgets', () => {
  test('a Redis that lost its last writes gets them again from where it stands', async () => {
    rig = await Rig.create()
    await rig.start()
    // A reader that is behind keeps the log's records, as retention does.
    const keeper = await rig.log.consume({ topic: 'changes', group: 'keeper' }, () => Promise.resolve())
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    await rig.until(() => rig.position() === 2n)
    const old = rig.writer.snapshot()
    await rig.send(0, productChange(2, stampAt(1, 6)), productChange(3, stampAt(1, 7)))
    await rig.until(() => rig.position() === 4n)
    rig.writer.restore(old)
    expect(rig.writer.fenceOf(product(2))).not.toBe(stampAt(1, 6))
    await rig.send(0, watermark(stampAt(1, 8), '1'))
    await rig.until(() => rig.position() === 5n)
    expect(rig.writer.fenceOf(product(2))).toBe(stampAt(1, 6))
    expect(rig.writer.fenceOf(product(3))).toBe(stampAt(1, 7))
    expect(rig.requests).toEqual([])
    await keeper.stop()
  })

  test('where the log has dropped what Redis lost, a generation is asked for and everything purged', async () => {
    rig = await Rig.create()
    await rig.start()
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    await rig.until(() => rig.position() === 2n)
    const old = rig.writer.snapshot()
    await rig.send(0, productChange(2, stampAt(1, 6)))
    await rig.until(() => rig.position() === 3n)
    await rig.settle()
    rig.writer.restore(old)
    await rig.send(0, watermark(stampAt(1, 8), '1'))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 1, reason: 'log-gap', edge: true })
    expect(rig.purges).toContainEqual(expect.objectContaining({ tag: '*', busId: NO_BUS_ENTRY }))
    expect(rig.position()).toBe(2n)
    await rig.send(0, flush(2, { edge: true }), watermark(stampAt(2, 9), '2'))
    await rig.until(() => rig.position() === 6n)
  })

  test('a hole whose purge could not be sent at first is purged all the same', async () => {
    rig = await Rig.create()
    const plan = new FailNext('before produce purges')
    await rig.start({ plan })
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    await rig.until(() => rig.position() === 2n)
    const old = rig.writer.snapshot()
    await rig.send(0, productChange(2, stampAt(1, 6)))
    await rig.until(() => rig.position() === 3n)
    await rig.settle()
    rig.writer.restore(old)
    plan.left = 1
    await rig.send(0, watermark(stampAt(1, 8), '1'))
    await rig.until(() => plan.left === 0)
    await rig.clock.advance(100)
    await rig.until(() => rig.purgedTags.includes('*'))
    expect(rig.requests).toHaveLength(1)
  })

  test('writes that are lost in the middle of a batch lose none of the purges before it', async () => {
    rig = await Rig.create()
    const { writer } = rig
    const seen: FenceState[] = []
    let hasForgotten = false
    const forgetful = withAdvance(writer, async (batch) => {
      const [afterFirst] = seen
      if (batch.from === 3n && afterFirst !== undefined && !hasForgotten) {
        hasForgotten = true
        writer.restore(afterFirst)
      }
      const reply = await writer.advance(batch)
      seen.push(writer.snapshot())
      return reply
    })
    // The flush in the middle makes two steps of one batch.
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)), flush(1), productChange(2, stampAt(1, 6)))
    await rig.start({ writer: forgetful })
    await rig.until(() => rig.position() === 4n && rig.purges.length >= 3)
    expect(hasForgotten).toBe(true)
    expect(rig.purgedTags).toEqual(expect.arrayContaining(['product:1', 'product:2']))
    expect(rig.writer.fenceOf(product(1))).toBe(stampAt(1, 5))
  })

  test('writes that are lost between the calls of one long batch are made again', async () => {
    const ids = Array.from({ length: 2 * FENCES_PER_ADVANCE }, (_, id) => id)
    const lostBy = async (unsafe: UnsafeInvalidatorOptions): Promise<number> => {
      rig = await Rig.create()
      const { writer } = rig
      const seen: FenceState[] = []
      const forgetful = withAdvance(writer, (batch) => {
        const [first] = seen
        if (first !== undefined && seen.length === 1) writer.restore(first)
        seen.push(writer.snapshot())
        return writer.advance(batch)
      })
      await rig.send(0, flush(1), ...ids.map((id) => productChange(id, stampAt(1, 5))))
      await rig.start({ writer: forgetful, unsafe })
      await rig.until(() => rig.purges.length > ids.length)
      const lost = ids.filter((id) => rig.writer.fenceOf(product(id)) !== stampAt(1, 5))
      await rig.stop()
      return lost.length
    }
    expect(await lostBy({})).toBe(0)
    expect(await lostBy({ skipRewind: true })).toBeGreaterThan(0)
  })

  test('an emptied Redis stays without w until a newer generation opens it', async () => {
    rig = await Rig.create()
    await rig.start()
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    await rig.until(() => rig.position() === 2n)
    rig.writer.empty()
    await rig.send(0, productChange(1, stampAt(1, 6)))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.writer.state.w).toBeNull()
    await rig.send(0, flush(2))
    await rig.until(() => rig.writer.state.w?.generation === 2)
  })

  test('a flush that is sent again does not open an emptied Redis over a change before it', async () => {
    rig = await Rig.create()
    await rig.start()
    await rig.send(0, flush(1))
    await rig.until(() => rig.position() === 1n)
    rig.writer.empty()
    await rig.send(0, productChange(1, stampAt(1, 5)), flush(1))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 1, reason: 'redis-emptied' })
    expect(rig.writer.state.w).toBeNull()
    await rig.send(0, flush(2))
    await rig.until(() => rig.writer.state.w?.generation === 2)
  })

  test('a change of an older generation is applied although a flush is sent again behind it', async () => {
    rig = await Rig.create()
    const older = productChange(2, stampAt(1, 6))
    const last = productChange(1, stampAt(2, 7))
    await rig.send(0, flush(2), productChange(1, stampAt(2, 5)), flush(2), older, flush(2), last)
    await rig.start()
    await rig.until(() => rig.position() === 6n)
    expect(rig.requests).toEqual([])
    expect(rig.purgedTags).toEqual(expect.arrayContaining(['product:1', 'product:2']))
  })

  test('a rewind that only repeats what was applied before is not made again', async () => {
    rig = await Rig.create()
    await rig.start()
    await rig.send(0, flush(5))
    await rig.until(() => rig.position() === 1n)
    // Redis comes back with a generation from before, and stands at a flush that begins nothing.
    rig.writer.empty()
    await rig.writer.open({ generation: 4, partition: 0, next: 2n, partitions: 1 })
    await rig.send(0, productChange(1, stampAt(5, 6)), flush(5), productChange(2, stampAt(5, 7)))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 5 })
  })

  test('purges of changes before two flushes wait for the one that covers them', async () => {
    rig = await Rig.create()
    await rig.writer.open({ generation: 1, partition: 0, next: 0n, partitions: 1 })
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)), flush(1), flush(2))
    await rig.start()
    await rig.until(() => rig.purgedTags.includes('product:1'))
    const covering = rig.writer.state.bus.at(-1)
    expect(covering?.entry.f).toEqual([['*', epochStart(2), 0]])
    expect(rig.purges.find(({ tag }) => tag === 'product:1')?.busId).toBe(covering?.id)
  })

  test('records that were redelivered after they were applied are applied and purged again, and move nothing back', async () => {
    rig = await Rig.create()
    await rig.writer.open({ generation: 1, partition: 0, next: 40n, partitions: 1 })
    await rig.send(0, productChange(1, stampAt(1, 5)), productChange(2, stampAt(1, 6)))
    await rig.start()
    await rig.until(() => rig.purges.length === 3)
    expect(rig.position()).toBe(40n)
    expect(rig.writer.fenceOf(product(1))).toBe(stampAt(1, 5))
    const last = rig.writer.state.bus.at(-1)
    expect(last?.entry.f).toHaveLength(3)
    expect(rig.purges.every(({ busId }) => busId === last?.id)).toBe(true)
  })
})

describe('invalidator: a connector whose generation is behind that of Redis', () => {
  const echoNow = (): string => String(Math.round(rig.clock.nowMs() * 1000))

  test('a hole asks for a generation above that of Redis, not above those of the log', async () => {
    rig = await Rig.create()
    await rig.writer.open({ generation: 9, partition: 0, next: 0n, partitions: 1 })
    await rig.start()
    await rig.send(0, flush(1), Buffer.from('unreadable'))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 9, reason: 'unreadable-record' })
  })

  test('changes between two flushes that are older than Redis are not rewound to for ever', async () => {
    rig = await Rig.create()
    await rig.writer.open({ generation: 9, partition: 0, next: 0n, partitions: 1 })
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)), flush(2), productChange(2, stampAt(2, 6)))
    await rig.start()
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 9, reason: 'log-gap' })
    expect(rig.purgedTags).toEqual(expect.arrayContaining(['product:1', 'product:2', '*']))
  })

  test.each([
    ['a log that goes on', 0n],
    ['a log that began again', 40n],
  ])('%s: nothing vouches, and a generation above that of Redis is asked for', async (_log, next) => {
    rig = await Rig.create()
    await rig.writer.open({ generation: 9, partition: 0, next, partitions: 1 })
    await rig.start()
    await rig.send(0, flush(1))
    await rig.settle()
    await rig.send(0, productChange(1, stampAt(1, 5)), watermark(stampAt(1, 5), echoNow()))
    await rig.settle()
    await rig.clock.advance(1_000)
    await rig.send(0, watermark(stampAt(1, 6), echoNow()))
    await rig.until(() => rig.requests.length === 1)
    expect(rig.requests[0]).toMatchObject({ above: 9, reason: 'generation-behind', edge: true })
    expect(rig.purgedTags).toContain('product:1')
    expect(rig.writer.state.bus.every(({ entry }) => entry.r === '')).toBe(true)
    await rig.send(0, flush(10), watermark(stampAt(10, 6), echoNow()))
    await rig.until(() => rig.writer.state.bus.at(-1)?.entry.r !== '')
    expect(rig.writer.state.w?.generation).toBe(10)
  })

  test('records from before a flush that are met again ask for nothing', async () => {
    rig = await Rig.create()
    await rig.writer.open({ generation: 2, partition: 0, next: 40n, partitions: 1 })
    await rig.start()
    await rig.clock.advance(1_000)
    await rig.send(0, flush(1))
    for (let n = 1; n < 4; n++) {
      await rig.send(0, productChange(1, stampAt(1, n)), watermark(stampAt(1, n), String(n)))
      await rig.settle()
    }
    expect(rig.requests).toEqual([])
  })
})

describe('invalidator: servers that fail', () => {
  test('a batch whose call to Redis fails is applied again and not committed before', async () => {
    rig = await Rig.create()
    const plan = new FailNext('before advance')
    plan.left = 2
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    const first = await rig.start({ plan })
    await rig.until(() => plan.left === 1)
    await first.stop()
    expect(rig.purges).toEqual([])
    await rig.start()
    await rig.until(() => rig.purges.length === 2)
    expect(rig.position()).toBe(2n)
  })

  test('retries wait longer and longer, and stop ends the waiting at once', async () => {
    rig = await Rig.create()
    const plan = new FailNext('before advance')
    plan.left = Number.POSITIVE_INFINITY
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    const service = await rig.start({ plan })
    await rig.settle()
    await service.stop()
    expect(rig.position()).toBe(1n)
  })

  test('purge commands that cannot be sent hold the partition back', async () => {
    rig = await Rig.create()
    const plan = new FailNext('before produce purges')
    plan.left = 1
    await rig.send(0, flush(1), productChange(1, stampAt(1, 5)))
    await rig.start({ plan })
    await rig.until(() => plan.left === 0)
    await rig.settle()
    expect(rig.purges).toEqual([])
    await rig.clock.advance(2_000)
    await rig.until(() => rig.purges.length === 2)
  })
})
