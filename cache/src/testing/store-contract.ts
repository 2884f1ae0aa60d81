import { clockOf, epochStart, stampOf, type Stamp, type Tag } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_SHORT_FENCE_MS, type AdvanceBatch, type FenceWriter } from '../fence-writer.ts'
import type { CacheStore } from '../store.ts'
import { encodeValue } from '../value-format.ts'

/** One fresh, empty namespace as both halves of the protocol see it. */
export interface StoreFixture {
  readonly store: CacheStore
  readonly writer: FenceWriter
  /** Remaining life of a fence or lease, ms; −2 when there is none. */
  life(kind: 'fence' | 'lease', name: string): Promise<number>
  ack(processId: string): Promise<string | null>
  /** Makes the server refuse whatever needs memory, or accept again. */
  setFull(isFull: boolean): Promise<void>
  close(): Promise<void>
}

/** A stamp of generation 1 whose snapshot sees `n` transactions. */
export const stampAt = (n: number, generation = 1): Stamp =>
  stampOf(generation, clockOf({ xmin: BigInt(n), xmax: BigInt(n), xip: [] }))

const TAG = 'product:1' as Tag
const valueAt = (stamp: Stamp): string => encodeValue({ stamp, expiresAtMs: 0, tags: [[TAG, 'any']], body: '{"ö":1}' })

/** Registers the laws that every store and fence writer keeps; run it on each adapter. */
export function registerStoreContract(name: string, create: () => Promise<StoreFixture>): void {
  describe(`cache/store contract: ${name}`, () => {
    let fixture: StoreFixture
    beforeEach(async () => {
      fixture = await create()
    })
    afterEach(() => fixture.close())
    const given = (): StoreFixture => fixture
    registerInvalidation(given)
    registerFills(given)
    registerPositions(given)
    registerGenerations(given)
    registerBus(given)
    registerFullServer(given)
  })
}

type Given = () => StoreFixture

const invalidate = ({ writer }: StoreFixture, n: number): Promise<void> =>
  writer.applyFences([{ tag: TAG, stamp: stampAt(n) }])
const leaseAt = ({ store }: StoreFixture, n: number, holder = `h${n}`) =>
  store.fills.lease({ key: TAG, holder, stamp: stampAt(n), leaseMs: 10_000 })
const fenceOf = async ({ store }: StoreFixture) => (await store.values.fences([TAG]))[0]

async function storeAt(fixture: StoreFixture, n: number): Promise<boolean> {
  const { lease } = await leaseAt(fixture, n)
  if (lease === null) return false
  return fixture.store.fills.store({ key: TAG, lease, value: valueAt(stampAt(n)), ttlMs: 60_000 })
}

function registerInvalidation(given: Given): void {
  test('an invalidation creates an absent fence under a new incarnation', async () => {
    await invalidate(given(), 5)
    const fence = await fenceOf(given())
    expect(fence?.stamp).toBe(stampAt(5))
    expect(fence?.incarnation).not.toBe('')
  })

  test('fences merge by maximum and keep their incarnation', async () => {
    await invalidate(given(), 5)
    const first = await fenceOf(given())
    await invalidate(given(), 3)
    expect(await fenceOf(given())).toEqual(first)
    await invalidate(given(), 9)
    expect(await fenceOf(given())).toEqual({ stamp: stampAt(9), incarnation: first?.incarnation })
  })

  test('an invalidation raises a fence to the short life and never shortens a longer one', async () => {
    await given().store.fills.touch([TAG], stampAt(1), 1_000)
    await invalidate(given(), 2)
    const life = await given().life('fence', TAG)
    expect(life).toBeGreaterThan(DEFAULT_SHORT_FENCE_MS - 5_000)
    await given().store.fills.touch([TAG], stampAt(2), 600_000)
    await invalidate(given(), 3)
    expect(await given().life('fence', TAG)).toBeGreaterThan(590_000)
  })

  test('an invalidation that changes nothing still raises the life of the fence', async () => {
    await given().store.fills.touch([TAG], stampAt(9), 1_000)
    await invalidate(given(), 2)
    expect(await given().life('fence', TAG)).toBeGreaterThan(DEFAULT_SHORT_FENCE_MS - 5_000)
  })

  test('an invalidation unlinks an older value and leaves one that already sees the change', async () => {
    expect(await storeAt(given(), 5)).toBe(true)
    await invalidate(given(), 5)
    expect(await given().store.values.value(TAG)).toBe(valueAt(stampAt(5)))
    await invalidate(given(), 6)
    expect(await given().store.values.value(TAG)).toBeNull()
  })

  test('an invalidation drops the lease of an older load and leaves that of a newer one', async () => {
    await leaseAt(given(), 5)
    await invalidate(given(), 5)
    expect((await leaseAt(given(), 5, 'other')).lease).toBeNull()
    await invalidate(given(), 6)
    expect((await leaseAt(given(), 6, 'other')).lease).not.toBeNull()
  })

  test('the write path raises the same fences', async () => {
    await storeAt(given(), 5)
    await given().store.fences.apply([{ tag: TAG, stamp: stampAt(6) }], 60_000)
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(6))
    expect(await given().store.values.value(TAG)).toBeNull()
    expect(await given().life('fence', TAG)).toBeGreaterThan(50_000)
  })

  test.each(['product:*', '*'])('the coarse tag %s has no fence of its own and is refused', async (tag) => {
    const refused = given().writer.applyFences([{ tag: tag as Tag, stamp: stampAt(1) }])
    await expect(refused).rejects.toMatchObject({ code: 'LOCKSTEP_CACHE_CONFIG' })
  })
}

function registerFills(given: Given): void {
  test('one holder has the lease; it carries the greater of stamp and own fence', async () => {
    await invalidate(given(), 7)
    const first = await leaseAt(given(), 5)
    expect(first.lease?.slice(0, 28)).toBe(stampAt(7))
    expect(first.fence?.stamp).toBe(stampAt(7))
    const second = await leaseAt(given(), 8)
    expect(second.lease).toBeNull()
    expect(await given().life('lease', TAG)).toBeGreaterThan(5_000)
  })

  test('a lease request answers the value that is there', async () => {
    expect((await leaseAt(given(), 4)).value).toBeNull()
    await invalidate(given(), 5)
    await storeAt(given(), 5)
    expect((await leaseAt(given(), 6)).value).toBe(valueAt(stampAt(5)))
  })

  test('touching creates a fence at the stamp once and answers its incarnation ever after', async () => {
    const { fills } = given().store
    const first = await fills.touch([TAG], stampAt(5), 60_000)
    expect(await fenceOf(given())).toEqual({ stamp: stampAt(5), incarnation: first.incarnations[0] })
    const second = await fills.touch([TAG], stampAt(8), 120_000)
    expect(second.incarnations).toEqual(first.incarnations)
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(5))
    expect(await given().life('fence', TAG)).toBeGreaterThan(110_000)
  })

  test('touching with an older stamp than one of the fences is refused for that one', async () => {
    await invalidate(given(), 7)
    const other = 'category:1' as Tag
    const reply = await given().store.fills.touch([TAG, other], stampAt(6), 60_000)
    expect(reply.newer).toEqual([{ tag: TAG, stamp: stampAt(7) }])
    expect(reply.incarnations[0]).toBeNull()
    expect(reply.incarnations[1]).not.toBeNull()
  })

  test('a value is stored only under exactly the lease that is held, which it drops', async () => {
    const { fills, values } = given().store
    const { lease } = await leaseAt(given(), 5)
    const request = { key: TAG, value: valueAt(stampAt(5)), ttlMs: 60_000 }
    expect(await fills.store({ ...request, lease: `${lease}x` })).toBe(false)
    expect(await values.value(TAG)).toBeNull()
    expect(await fills.store({ ...request, lease: lease ?? '' })).toBe(true)
    expect(await values.value(TAG)).toBe(request.value)
    expect(await given().life('lease', TAG)).toBe(-2)
    expect(await fills.store({ ...request, lease: lease ?? '' })).toBe(false)
  })

  test('a load from before an invalidation is not stored after it', async () => {
    const { lease } = await leaseAt(given(), 5)
    await invalidate(given(), 6)
    const value = valueAt(stampAt(5))
    expect(await given().store.fills.store({ key: TAG, lease: lease ?? '', value, ttlMs: 60_000 })).toBe(false)
    expect(await given().store.values.value(TAG)).toBeNull()
  })

  test('only the holder lets go of a lease', async () => {
    const { lease } = await leaseAt(given(), 5)
    await given().store.fills.release(TAG, `${lease}x`)
    expect(await given().life('lease', TAG)).toBeGreaterThan(0)
    await given().store.fills.release(TAG, lease ?? '')
    expect(await given().life('lease', TAG)).toBe(-2)
  })

  test('a value lives as long as it was given', async () => {
    const { lease } = await leaseAt(given(), 5)
    const value = valueAt(stampAt(5))
    await given().store.fills.store({ key: TAG, lease: lease ?? '', value, ttlMs: 20 })
    await expect.poll(() => given().store.values.value(TAG), { timeout: 2_000 }).toBeNull()
  })

  test('an unknown fence is none', async () => {
    expect(await given().store.values.fences([TAG, 'category:9' as Tag])).toEqual([null, null])
    expect(await given().store.values.fences([])).toEqual([])
  })
}

const step = (from: bigint, to: bigint, rest: Partial<AdvanceBatch> = {}): AdvanceBatch => ({
  partition: 0,
  from,
  to,
  fences: [],
  ...rest,
})
const open = ({ writer }: StoreFixture, partition: number, next: bigint, generation = 1) =>
  writer.open({ generation, partition, next, partitions: 2 })

function registerPositions(given: Given): void {
  test('nothing advances without a generation, and nothing but opening one begins it', async () => {
    expect(await given().writer.advance(step(0n, 1n))).toEqual({ kind: 'absent' })
    expect(await given().store.bus.attach()).toBeNull()
  })

  test('a partition whose flush was not met is unknown', async () => {
    await open(given(), 0, 1n)
    expect(await given().writer.advance(step(0n, 1n, { partition: 1 }))).toEqual({ kind: 'unknown' })
  })

  test('a batch that does not begin where the partition stands changes nothing', async () => {
    await open(given(), 0, 4n)
    const before = await given().store.bus.attach()
    const fences = [['product:*', stampAt(9), 0]] as const
    for (const from of [0n, 5n]) {
      expect(await given().writer.advance(step(from, 9n, { fences }))).toEqual({ kind: 'stands', offset: 4n })
    }
    expect(await given().store.bus.attach()).toEqual(before)
  })

  test('a repeated batch finds itself applied', async () => {
    await open(given(), 0, 4n)
    expect((await given().writer.advance(step(4n, 9n))).kind).toBe('applied')
    expect(await given().writer.advance(step(4n, 9n))).toEqual({ kind: 'stands', offset: 9n })
    expect((await given().writer.advance(step(9n, 10n))).kind).toBe('applied')
  })

  test('plain fences travel with a batch: they are raised with it, and also where it is refused', async () => {
    await open(given(), 0, 4n)
    const { writer, store } = given()
    const tags = ['product:1', 'product:2'] as Tag[]
    const stampsOf = async () => (await store.values.fences(tags)).map((fence) => fence?.stamp)
    const plain = (n: number) => tags.map((tag, index) => ({ tag, stamp: stampAt(n + index) }))
    const classes = [['product:*', stampAt(3), 0]] as const
    expect((await writer.advance(step(4n, 9n, { fences: classes, plain: plain(3) }))).kind).toBe('applied')
    expect(await stampsOf()).toEqual([stampAt(3), stampAt(4)])
    expect((await writer.advance(step(4n, 9n, { plain: plain(5) }))).kind).toBe('stands')
    expect(await stampsOf()).toEqual([stampAt(5), stampAt(6)])
    expect((await writer.advance(step(9n, 9n, { plain: plain(1) }))).kind).toBe('applied')
    expect(await stampsOf()).toEqual([stampAt(5), stampAt(6)])
  })

  test.each(['product:*', '*'])('%s does not travel as a plain fence', async (tag) => {
    await open(given(), 0, 4n)
    const refused = given().writer.advance(step(4n, 5n, { plain: [{ tag: tag as Tag, stamp: stampAt(1) }] }))
    await expect(refused).rejects.toMatchObject({ code: 'LOCKSTEP_CACHE_CONFIG' })
  })

  test('an applied batch raises classes, everything and the greatest stamp, each by maximum', async () => {
    await open(given(), 0, 0n)
    const batch = (from: bigint, n: number): AdvanceBatch =>
      step(from, from + 1n, {
        fences: [
          ['product:1', stampAt(n + 1), 0],
          ['product:*', stampAt(n), 0],
          ['*', stampAt(n - 1), 0],
        ],
      })
    await given().writer.advance(batch(0n, 20))
    await given().writer.advance(batch(1n, 10))
    const at = await given().store.bus.attach()
    expect(at).toMatchObject({ start: stampAt(21), everything: stampAt(19), generation: 1 })
    expect([...(at?.classes ?? [])]).toEqual([['product', stampAt(20)]])
  })

  test('watermark and echo are the least of all partitions and unknown until each has one', async () => {
    await open(given(), 0, 0n)
    await open(given(), 1, 0n)
    const mark = (n: number, echo: string) => ({ watermark: { stamp: stampAt(n), echo, partitions: 2 } })
    await given().writer.advance(step(0n, 1n, mark(8, '2000')))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: '', echo: '' })
    await given().writer.advance(step(0n, 1n, { partition: 1, ...mark(6, '900') }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(6), echo: '900' })
    await given().writer.advance(step(1n, 2n, { partition: 1, ...mark(9, '10000') }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(8), echo: '2000' })
    await given().writer.advance(step(2n, 3n, { partition: 1, ...mark(3, '1') }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(8), echo: '2000' })
  })

  test('a watermark without an echo moves the stamp only', async () => {
    await given().writer.open({ generation: 1, partition: 0, next: 0n, partitions: 1 })
    const watermark = { stamp: stampAt(4), echo: '', partitions: 1 }
    await given().writer.advance(step(0n, 1n, { watermark }))
    expect(await given().store.bus.attach()).toMatchObject({ watermark: stampAt(4), echo: '' })
  })
}

function registerGenerations(given: Given): void {
  test('the first partition opens a generation, the others join it', async () => {
    expect((await open(given(), 0, 3n)).kind).toBe('opened')
    expect((await open(given(), 1, 5n)).kind).toBe('joined')
    expect(await given().writer.advance(step(0n, 1n))).toEqual({ kind: 'stands', offset: 3n })
    expect(await given().writer.advance(step(0n, 1n, { partition: 1 }))).toEqual({ kind: 'stands', offset: 5n })
    expect(await given().store.bus.attach()).toMatchObject({ generation: 1, everything: epochStart(1) })
  })

  test('a newer generation forgets positions, classes and watermarks, and fences everything', async () => {
    await open(given(), 0, 0n)
    const watermark = { stamp: stampAt(4), echo: '7', partitions: 1 }
    await given().writer.advance(step(0n, 1n, { fences: [['product:*', stampAt(9), 0]], watermark }))
    expect((await open(given(), 1, 8n, 2)).kind).toBe('opened')
    expect(await given().writer.advance(step(1n, 2n))).toEqual({ kind: 'unknown' })
    const at = await given().store.bus.attach()
    expect(at).toMatchObject({
      generation: 2,
      everything: epochStart(2),
      start: epochStart(2),
      watermark: '',
      echo: '',
    })
    expect(at?.classes.size).toBe(0)
  })

  test('an older generation changes nothing', async () => {
    const { busId } = await open(given(), 0, 1n, 2)
    const before = await given().store.bus.attach()
    expect(await open(given(), 0, 9n, 1)).toEqual({ kind: 'older', busId })
    expect(await given().store.bus.attach()).toEqual(before)
  })

  test('records of an older generation move the position, vouch for nothing and are told so', async () => {
    await open(given(), 0, 4n, 2)
    const fences = [['product:*', stampAt(9), 0]] as const
    const watermark = { stamp: stampAt(9), echo: '77', partitions: 5 }
    expect(await given().writer.advance(step(4n, 6n, { fences, watermark }))).toMatchObject({
      kind: 'applied',
      outdatedBy: 2,
    })
    expect(await given().store.bus.attach()).toMatchObject({ watermark: '', echo: '' })
    expect((await given().writer.advance(step(6n, 6n))).kind).toBe('applied')
    const current = { stamp: epochStart(2), echo: '88', partitions: 1 }
    const reply = await given().writer.advance(step(6n, 7n, { watermark: current }))
    expect(reply).toEqual({ kind: 'applied', busId: reply.kind === 'applied' ? reply.busId : '' })
    expect(await given().store.bus.attach()).toMatchObject({ watermark: epochStart(2), echo: '88' })
  })

  test('an older flush moves a partition only from exactly before it', async () => {
    await open(given(), 0, 4n, 2)
    expect((await open(given(), 0, 5n, 1)).kind).toBe('older')
    expect((await given().writer.advance(step(5n, 6n))).kind).toBe('applied')
  })

  test('a flush met again moves a partition only from exactly before it', async () => {
    await open(given(), 0, 3n)
    expect((await open(given(), 0, 9n)).kind).toBe('joined')
    expect(await given().writer.advance(step(9n, 10n))).toEqual({ kind: 'stands', offset: 3n })
    await given().writer.advance(step(3n, 8n))
    await open(given(), 0, 9n)
    expect((await given().writer.advance(step(9n, 12n))).kind).toBe('applied')
    await open(given(), 0, 9n)
    expect(await given().writer.advance(step(9n, 12n))).toEqual({ kind: 'stands', offset: 12n })
  })
}

function registerBus(given: Given): void {
  test('each entry names its predecessor, and the first of a generation none', async () => {
    await open(given(), 0, 0n)
    const fences = [['product:1', stampAt(3), 1234] as const]
    await given().writer.advance(step(0n, 1n, { fences }))
    await given().writer.advance(step(1n, 2n))
    await open(given(), 0, 0n, 2)
    const [first, second, third, fourth] = await given().store.bus.read('0-0', 50)
    expect(first).toMatchObject({ predecessor: '', fences: [['*', epochStart(1), 0]], watermark: '', echo: '' })
    expect(second).toMatchObject({ predecessor: first?.nonce, fences })
    expect(third).toMatchObject({ predecessor: second?.nonce, fences: [] })
    expect(fourth).toMatchObject({ predecessor: '', fences: [['*', epochStart(2), 0]] })
    expect(await given().store.bus.attach()).toMatchObject({ nonce: fourth?.nonce, id: fourth?.id })
    expect(await given().store.bus.read(third?.id ?? '', 50)).toEqual([fourth])
  })

  test('an entry carries the watermark that it made true', async () => {
    await given().writer.open({ generation: 1, partition: 0, next: 0n, partitions: 1 })
    const watermark = { stamp: stampAt(4), echo: '77', partitions: 1 }
    await given().writer.advance(step(0n, 1n, { watermark }))
    await given().writer.advance(step(1n, 2n))
    const [, marked, later] = await given().store.bus.read('0-0', 50)
    expect(marked).toMatchObject({ watermark: stampAt(4), echo: '77' })
    expect(later).toMatchObject({ watermark: stampAt(4), echo: '77' })
  })

  test('a waiting reader gets an entry as soon as it is appended', async () => {
    const { busId } = await open(given(), 0, 0n)
    const waiting = given().store.bus.read(busId, 5_000)
    const reply = await given().writer.advance(step(0n, 1n))
    expect((await waiting).map(({ id }) => id)).toEqual([reply.kind === 'applied' ? reply.busId : 'not applied'])
  })

  test('a process reports what it applied with the time of the server, and withdraws', async () => {
    const before = Number((await given().writer.redisTimeUs()) / 1000n)
    await given().store.bus.ack('p1', '5-1')
    const ack = JSON.parse((await given().ack('p1')) ?? 'null') as { id: string; at: number }
    expect(ack.id).toBe('5-1')
    expect(ack.at).toBeGreaterThanOrEqual(before)
    expect(ack.at).toBeLessThanOrEqual(Number((await given().store.timeUs()) / 1000n))
    await given().store.bus.withdraw('p1')
    expect(await given().ack('p1')).toBeNull()
  })
}

function registerFullServer(given: Given): void {
  test('a full server refuses fills and still takes invalidations, positions, generations and acks', async () => {
    await open(given(), 0, 0n)
    await storeAt(given(), 5)
    const { lease } = await leaseAt(given(), 5)
    await given().setFull(true)
    const value = valueAt(stampAt(6))
    const refused = { code: 'LOCKSTEP_CACHE_REDIS' }
    const { fills } = given().store
    await expect(fills.store({ key: TAG, lease: lease ?? '', value, ttlMs: 60_000 })).rejects.toMatchObject(refused)
    await expect(fills.lease({ key: 'x:1', holder: 'h', stamp: stampAt(6), leaseMs: 9 })).rejects.toMatchObject(refused)
    await expect(fills.touch(['x:1' as Tag], stampAt(6), 60_000)).rejects.toMatchObject(refused)
    await invalidate(given(), 7)
    expect(await given().store.values.value(TAG)).toBeNull()
    expect((await fenceOf(given()))?.stamp).toBe(stampAt(7))
    expect((await given().writer.advance(step(0n, 1n))).kind).toBe('applied')
    expect((await open(given(), 0, 1n, 2)).kind).toBe('opened')
    await given().store.bus.ack('p1', '1-1')
    await fills.release(TAG, lease ?? '')
    expect(await given().ack('p1')).not.toBeNull()
    await given().setFull(false)
    expect((await leaseAt(given(), 8)).lease).not.toBeNull()
  })
}
