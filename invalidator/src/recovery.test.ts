import { parseTag } from '@lockstep/schemas'
import { afterEach, describe, expect, test } from 'vitest'
import { NO_BUS_ENTRY } from './purge-ledger.ts'
import { FailNext } from './testing/faulty.ts'
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
