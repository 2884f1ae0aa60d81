import { generationOf, stampOf, type Clock } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCache } from './cache.ts'
import { settle } from './testing/fake-clock.ts'
import { createWorld, World, type Process, type Row } from './testing/world.ts'

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.end())

const layerOf = async (process: Process, id = '1') => (await process.products.read(id)).layer

describe('cache/stop', () => {
  test('a load that is cut short leaves no lease behind', async () => {
    const process = await world.process()
    process.holdLoads()
    const reading = process.products.get('1').catch((error: { code?: unknown }) => error.code)
    await settle()
    expect(world.server.strings.get('l:product:1')).not.toBeNull()
    const stopping = process.cache.stop()
    await world.clock.advance(2_000)
    await stopping
    expect(await reading).toBe('LOCKSTEP_CACHE_STOPPED')
    expect(world.server.strings.get('l:product:1')).toBeNull()
  })

  test.each(['before touch', 'before store'] as const)('a fill under way %s ends first', async (point) => {
    const process = await world.process()
    const gate = process.gates.hold(point)
    expect(await process.products.get('1')).toEqual({ id: '1', version: 1 })
    await gate.reached
    let isStopped = false
    const stopping = process.cache.stop().then(() => (isStopped = true))
    await world.clock.advance(2_000)
    expect(isStopped).toBe(false)
    gate.open()
    await world.clock.advance(2_000)
    await stopping
    expect(world.server.strings.get('l:product:1')).toBeNull()
    expect(world.server.strings.get('v:product:1')).not.toBeNull()
  })

  test('a fill that fails behind its readers is told, and its lease is let go', async () => {
    const failures: string[] = []
    const process = await world.process({ events: { failed: (_, doing) => failures.push(doing) } })
    const gate = process.gates.hold('before touch')
    expect(await process.products.get('1')).toEqual({ id: '1', version: 1 })
    await gate.reached
    process.gates.fail(new Error('down'))
    gate.open()
    await settle()
    expect(failures).toContain('storing a value')
    expect(failures).toContain('releasing a lease')
    process.gates.fail(null)
    expect(process.products.peek('1')).toEqual({ id: '1', version: 1 })
  })
})

describe('cache/layers', () => {
  test('a value is loaded once, then comes from L1, and from L2 in another process', async () => {
    const [first, second] = [await world.process(), await world.process()]
    expect(await first.products.read('1')).toMatchObject({
      value: { id: '1', version: 1 },
      stamp: world.pipeline.stamp,
      tags: ['product:1', 'category:7'],
      layer: 'load',
      stored: true,
      stale: false,
    })
    expect(await layerOf(first)).toBe('l1')
    await world.beat(500)
    expect(await second.products.read('1')).toMatchObject({ layer: 'l2', ageMs: expect.closeTo(500, 0) as number })
    expect(second.products.peek('1')).toEqual({ id: '1', version: 1 })
    expect(second.products.peek('2')).toBeUndefined()
    expect(second.loads()).toBe(0)
  })

  test('readers of one tick share one load', async () => {
    const process = await world.process()
    const layers = await Promise.all([1, 2, 3].map(() => layerOf(process)))
    expect(layers).toEqual(['load', 'coalesced', 'coalesced'])
    expect(process.loads()).toBe(1)
  })

  test('a value ends with its time to live in both layers', async () => {
    const process = await world.process({}, { ttlMs: 1_000 })
    await process.products.get('1')
    await world.beat(950)
    expect(await layerOf(process)).toBe('l1')
    await world.beat(100)
    expect(process.products.peek('1')).toBeUndefined()
    expect(await layerOf(process)).toBe('load')
  })

  test('"there is none" is kept for its own time and fenced like a value', async () => {
    world.write('1', 0)
    const [first, second] = [await world.process({}, { negativeTtlMs: 500 }), await world.process()]
    expect(await first.products.get('1')).toBeNull()
    expect(await second.products.read('1')).toMatchObject({ value: null, layer: 'l2' })
    expect(await layerOf(first)).toBe('l1')
    await world.change('1')
    expect(await first.products.get('1')).toEqual({ id: '1', version: 1 })
    world.write('2', 0)
    await first.products.get('2')
    await world.beat(550)
    expect(await layerOf(first, '2')).toBe('load')
  })

  test('"there is none" is not kept where its time is 0', async () => {
    world.write('1', 0)
    const process = await world.process({}, { negativeTtlMs: 0 })
    expect(await process.products.read('1')).toMatchObject({ layer: 'load', stored: false })
    expect(await layerOf(process)).toBe('load')
  })

  test.each(['{"half', 'no header at all'])(
    'a value in Redis that cannot be read (%s) is loaded again',
    async (body) => {
      const filler = await world.process()
      await filler.products.read('1')
      const stored = world.server.strings.get('v:product:1') ?? ''
      const header = body.startsWith('{') ? stored.slice(0, stored.indexOf('\n') + 1) : ''
      world.server.strings.set('v:product:1', header + body, 60_000)
      const process = await world.process()
      expect(await process.products.read('1')).toMatchObject({ layer: 'load', stored: true, value: { version: 1 } })
    },
  )

  test('what readers get is what the codec reads back, whichever layer answers', async () => {
    const process = await world.process()
    const dates = process.cache.define<string, { at: unknown }>('dated', {
      key: (id) => `dated:${id}`,
      load: () => Promise.resolve({ at: new Date(0) }),
      tags: () => [],
      ttlMs: 1_000,
    })
    expect(await dates.get('1')).toEqual({ at: '1970-01-01T00:00:00.000Z' })
    expect(await dates.get('1')).toEqual({ at: '1970-01-01T00:00:00.000Z' })
  })
})

describe('cache/fences', () => {
  test.each(['product:1', 'category:7', 'product:*', 'category:*', '*'])(
    'a fence of %s evicts the value',
    async (tag) => {
      const process = await world.process()
      await process.products.get('1')
      await world.change('1', [tag])
      expect(process.products.peek('1')).toBeUndefined()
      expect(await process.products.get('1')).toMatchObject({ version: 2 })
      expect(await layerOf(process)).toBe('l1')
    },
  )

  test('a repeated or late invalidation leaves a value that already sees the change', async () => {
    const process = await world.process()
    const { stamp } = await world.pipeline.change(['product:1'])
    await settle()
    await process.products.get('1')
    await world.pipeline.fence(['product:1', 'category:7'], stamp)
    await settle()
    expect(await layerOf(process)).toBe('l1')
    expect(await layerOf(await world.process())).toBe('l2')
  })

  test('a value from before the tail began is valid only under the fences it was filled under', async () => {
    const filler = await world.process()
    for (const id of ['1', '2', '3']) await filler.products.get(id)
    // Something newer is fenced, so that the values are older than where a new tail begins.
    await world.change('9')
    world.server.strings.delete('f:product:2')
    await world.pipeline.raise(['product:2'], world.pipeline.stamp)
    world.server.strings.delete('f:product:3')
    // Until a watermark has passed what was applied last, nobody vouches for older fences.
    await world.beat()
    const late = await world.process()
    expect(await layerOf(late, '1')).toBe('l2')
    expect(await layerOf(late, '1')).toBe('l1')
    expect(await layerOf(late, '2')).toBe('load')
    expect(await layerOf(late, '3')).toBe('load')
  })

  test('a fence made anew does not stand for the one a value was filled under', async () => {
    const filler = await world.process()
    await filler.products.get('1')
    await world.change('9')
    const [tag, fence] = ['f:category:7', world.server.strings.get('f:category:7') ?? '']
    world.server.strings.set(tag, `${fence.slice(0, 28)}:another`, 60_000)
    await world.beat()
    expect(await layerOf(await world.process())).toBe('load')
  })

  test('write-path invalidation takes effect at once here and in Redis, before the log', async () => {
    const [writer, other] = [await world.process(), await world.process()]
    await writer.products.get('1')
    world.write('1')
    await writer.products.invalidate('1', world.pipeline.commit())
    expect(await writer.products.get('1')).toMatchObject({ version: 2 })
    expect(await other.products.get('1')).toMatchObject({ version: 2 })
    await expect(writer.cache.invalidate(['product:*'], world.pipeline.stamp)).rejects.toMatchObject({
      code: 'LOCKSTEP_CACHE_CONFIG',
    })
  })

  test('who reads in the turn of its own write loads at once, and the lease comes with the fence', async () => {
    const [writer, other] = [await world.process(), await world.process()]
    await writer.products.get('1')
    world.write('1')
    const fence = writer.gates.hold('after fence')
    const claim = writer.gates.hold('after claim')
    const land = writer.holdLoads()
    const written = writer.products.invalidate('1', world.pipeline.commit())
    const [first, second] = [writer.products.get('1'), writer.products.get('1')]
    // Redis has not answered yet.
    expect(writer.loads()).toBe(2)
    await claim.reached
    // The fleet loads once all the same.
    const elsewhere = other.products.get('1')
    await settle()
    expect(other.loads()).toBe(0)
    land()
    expect(await Promise.all([first, second])).toMatchObject([{ version: 2 }, { version: 2 }])
    claim.open()
    fence.open()
    await written
    await world.beat()
    expect(await elsewhere).toMatchObject({ version: 2 })
    expect([writer.loads(), other.loads()]).toEqual([2, 0])
  })

  test('a load that was claimed and failed lets go of the lease', async () => {
    const [writer, other] = [
      await world.process({}, { load: () => Promise.reject(new Error('no row today')) }),
      await world.process(),
    ]
    const written = writer.products.invalidate('1', world.pipeline.commit())
    await expect(writer.products.get('1')).rejects.toThrow('no row today')
    await written
    await settle()
    expect(await other.products.get('1')).toMatchObject({ version: 1 })
    expect(other.loads()).toBe(1)
    expect(writer.gates.count('claim')).toBe(1)
  })

  test('a fill gives back the lease that it does not use, not one that it has lost', async () => {
    const [filler, other] = [await world.process(), await world.process()]
    const overtake = async (id: string, change: () => Promise<unknown>): Promise<void> => {
      const land = filler.holdLoads()
      const read = filler.products.get(id)
      await settle()
      world.write(id)
      await change()
      await settle()
      land()
      await read
      await settle()
    }
    // In Redis, not yet on the bus.
    await overtake('1', () => world.pipeline.raise(['product:1'], world.pipeline.commit()))
    expect([filler.cache.stats().rejected, filler.gates.count('release')]).toEqual([1, 0])
    await overtake('2', () => world.pipeline.change(['category:7']))
    expect([filler.cache.stats().rejected, filler.gates.count('release')]).toEqual([2, 1])
    // Nobody holds the lease any more: another process loads without waiting.
    for (const id of ['1', '2']) expect(await other.products.get(id)).toMatchObject({ version: 2 })
  })

  test('where Redis fails the reader of its own write has its value all the same', async () => {
    const writer = await world.process()
    await writer.products.get('1')
    await settle()
    world.write('1')
    const written = writer.products.invalidate('1', world.pipeline.commit())
    const read = writer.products.get('1')
    // Redis does what it was asked, and its answers are lost.
    writer.gates.fail(new Error('down'))
    expect(await read).toMatchObject({ version: 2 })
    await expect(written).rejects.toThrow('down')
    await settle()
    writer.gates.fail(null)
    // The lease may have been granted, so it is let go.
    expect([writer.gates.count('claim'), writer.gates.count('release')]).toEqual([1, 1])
  })

  test('a lease is let go also where a newer fence of its key never reached Redis', async () => {
    const [filler, other] = [await world.process(), await world.process()]
    const land = filler.holdLoads()
    const read = filler.products.get('1')
    await settle()
    world.write('1')
    const stamp = world.pipeline.commit()
    filler.gates.fail(new Error('down'))
    await expect(filler.products.invalidate('1', stamp)).rejects.toThrow('down')
    filler.gates.fail(null)
    land()
    await read
    await settle()
    expect(await other.products.get('1')).toMatchObject({ version: 2 })
  })

  test('a new generation empties every layer, and all goes on', async () => {
    const process = await world.process()
    await process.products.get('1')
    await world.pipeline.open()
    await settle()
    expect(process.products.peek('1')).toBeUndefined()
    await world.beat(200)
    expect(process.cache.generation()).toBe(2)
    expect(await layerOf(process)).toBe('load')
    expect(await layerOf(process)).toBe('l1')
  })

  test('listeners hear every entry with its id, and nothing after they have left', async () => {
    const process = await world.process()
    const heard: unknown[] = []
    const leave = process.cache.onInvalidated((fences, busId) => heard.push([fences.map(([tag]) => tag), busId]))
    const { busId } = await world.pipeline.change(['product:1', 'category:7'])
    await settle()
    leave()
    await world.change('1')
    expect(heard).toEqual([[['product:1', 'category:7'], busId]])
  })

  test('readers who joined a load before a fence of its tags may have it, those behind it may not', async () => {
    const process = await world.process()
    const answer = process.holdLoads()
    const read = (): Promise<Row | null> => process.products.get('1')
    const before = [read(), read(), read()]
    await settle()
    await world.change('1', ['category:7'])
    const behind = [read(), read(), read()]
    await settle()
    answer()
    expect((await Promise.all(before)).map((row) => row?.version)).toEqual([1, 1, 1])
    expect((await Promise.all(behind)).map((row) => row?.version)).toEqual([2, 2, 2])
    expect(process.cache.stats()).toMatchObject({ loads: 2, coalesced: 4 })
  })

  test('a tag counts as fenced lately for as long as asked', async () => {
    const process = await world.process()
    await world.beat(1_000)
    expect(process.cache.fencedWithin(['product:1'], 500)).toBe(false)
    await world.change('1')
    expect(process.cache.fencedWithin(['product:1'], 500)).toBe(true)
    expect(process.cache.fencedWithin(['product:2'], 500)).toBe(false)
    await world.beat(600)
    expect(process.cache.fencedWithin(['product:1'], 500)).toBe(false)
  })
})

describe('cache/contract', () => {
  test('before the pipeline has vouched every read is a load, shared and not kept', async () => {
    world = new World()
    const process = await world.process()
    expect(process.cache.freshnessAgeMs()).toBeNull()
    const layers = await Promise.all([layerOf(process), layerOf(process)])
    expect(layers).toEqual(['load', 'coalesced'])
    expect(await process.products.read('1')).toMatchObject({ layer: 'load', stamp: null, stored: false })
    expect(process.cache.stats()).toMatchObject({ loads: 2, stored: 0, l1Entries: 0, bypass: 2 })
  })

  test('each entry keeps its own contract, in L1 and in L2', async () => {
    const strict = await world.process({ maxStalenessMs: 10_000 }, { maxStalenessMs: 500 })
    const lax = await world.process({ maxStalenessMs: 10_000 })
    await lax.products.get('1')
    await strict.products.get('1')
    await world.clock.advance(600)
    expect(await layerOf(lax)).toBe('l1')
    expect(await layerOf(strict)).toBe('load')
    await world.beat()
    expect(await layerOf(strict)).toBe('l1')
  })

  test('a reader never shares a load that began longer ago than its contract', async () => {
    const process = await world.process({ maxStalenessMs: 500 })
    const release = process.holdLoads()
    const early = process.products.get('1')
    await world.clock.advance(600)
    world.write('1')
    const late = process.products.get('1')
    await settle()
    release()
    await world.clock.advance(100)
    await early
    expect(await late).toMatchObject({ version: 2 })
  })

  test('a token of an older generation still demands its clock', async () => {
    const process = await world.process()
    const writersGeneration = generationOf(world.pipeline.stamp)
    await world.pipeline.open()
    await world.beat()
    expect(await process.products.get('1')).toMatchObject({ version: 1 })
    world.write('1')
    const token = stampOf(writersGeneration, world.pipeline.commit().slice(8) as Clock)
    expect(await process.products.read('1', { token })).toMatchObject({ value: { version: 2 } })
  })

  test('a token of an epoch that this process does not know stamps no load', async () => {
    const process = await world.process()
    const token = stampOf(9, `${'f'.repeat(15)}0ffff` as Clock)
    expect(await process.products.get('1', { token })).toMatchObject({ version: 1 })
    await world.change('1')
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
    expect(await process.products.get('1', { token })).toMatchObject({ version: 2 })
  })

  test('with a token nothing older is accepted from any layer', async () => {
    const [writer, reader] = [await world.process(), await world.process()]
    await reader.products.get('1')
    world.write('1')
    const token = world.pipeline.commit()
    expect(await reader.products.get('1', { token })).toMatchObject({ version: 2 })
    expect(await writer.products.read('1', { token })).toMatchObject({ layer: 'l2', value: { version: 2 } })
    expect(await reader.products.read('1', { token })).toMatchObject({ layer: 'l1', stamp: token })
    expect(reader.cache.newestStamp()).toBe(token)
  })

  test('options and definitions that would void the protocol are refused', async () => {
    const refused = expect.objectContaining({ code: 'LOCKSTEP_CACHE_CONFIG' }) as Error
    const create = (options: object) => () => createCache({ redis: null, namespace: 'n', ...options })
    expect(create({ loadTimeoutMs: 30_000 })).toThrow(refused)
    expect(create({ shortFenceMs: 5_000 })).toThrow(refused)
    const { cache } = await world.process()
    const definition = { key: () => 'product:*', load: () => Promise.resolve('v'), tags: () => [], ttlMs: 1 }
    expect(() => cache.define('product', definition)).toThrow(refused)
    await expect(cache.define('coarse', definition).get('1')).rejects.toThrow(refused)
    await expect(cache.define('empty', { ...definition, key: () => '' }).get('1')).rejects.toThrow(refused)
    expect(() => cache.define('short', { ...definition, ttlMs: 0 })).toThrow(refused)
  })
})

describe('cache/failures', () => {
  const failing = (error: Error) => ({ load: () => Promise.reject(error) })

  test('a failed load fails its readers, frees the lease and is tried again', async () => {
    let isBroken = true
    const definition = {
      load: (id: string) => (isBroken ? Promise.reject(new Error('down')) : Promise.resolve({ id, version: 1 })),
    }
    const process = await world.process({}, definition)
    const other = await world.process()
    const results = await Promise.allSettled([process.products.get('1'), process.products.get('1')])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await settle()
    expect(await layerOf(other)).toBe('load')
    isBroken = false
    expect(await layerOf(process)).toBe('l2')
  })

  test('the holder of a lease that dies delays other processes by the lease wait, no longer', async () => {
    const process = await world.process({ leaseWaitMs: 300 })
    world.server.strings.set('l:product:1', `${world.pipeline.stamp}:dead`, 10_000)
    const reading = process.products.read('1')
    await world.clock.advance(250)
    expect(process.loads()).toBe(0)
    await world.clock.advance(150)
    expect(await reading).toMatchObject({ layer: 'load', stored: false })
    expect(await layerOf(process)).toBe('l1')
  })

  test('a waiter takes over a lease that its holder let go', async () => {
    const process = await world.process()
    world.server.strings.set('l:product:1', `${world.pipeline.stamp}:dead`, 100)
    const reading = process.products.read('1')
    await world.clock.advance(200)
    expect(await reading).toMatchObject({ layer: 'load', stored: true })
  })

  test('loads beyond the limit queue, and fail when their turn does not come', async () => {
    const process = await world.process({ maxConcurrentLoads: 2, loadQueueMs: 100 })
    const release = process.holdLoads()
    const reads = ['1', '2', '3'].map((id) => process.products.get(id))
    const outcomes = Promise.allSettled(reads)
    await world.clock.advance(150)
    expect(process.cache.stats()).toMatchObject({ loadsInFlight: 2, overloaded: 1 })
    release()
    const reasons = (await outcomes).map((it) =>
      it.status === 'rejected' ? (it.reason as { code: string }).code : 'ok',
    )
    expect(reasons).toEqual(['ok', 'ok', 'LOCKSTEP_CACHE_OVERLOADED'])
    const next = process.products.get('3')
    await world.clock.advance(50)
    expect(await next).toMatchObject({ id: '3' })
  })

  test('a load that takes too long is aborted and fails', async () => {
    let aborted: unknown = null
    const load = (_id: string, { signal }: { signal: AbortSignal }): Promise<null> =>
      new Promise(() => signal.addEventListener('abort', () => (aborted = signal.reason)))
    const process = await world.process({ loadTimeoutMs: 500 }, { load })
    const reading = Promise.allSettled([process.products.get('1')])
    await world.clock.advance(600)
    expect(await reading).toMatchObject([{ status: 'rejected', reason: { code: 'LOCKSTEP_CACHE_LOAD_TIMEOUT' } }])
    expect(aborted).toMatchObject({ code: 'LOCKSTEP_CACHE_LOAD_TIMEOUT' })
  })

  test('a value past its contract is served only on request, labelled, and never below the token or a fence', async () => {
    let isBroken = false
    const load = (id: string) => (isBroken ? Promise.reject(new Error('down')) : Promise.resolve({ id, version: 1 }))
    const process = await world.process({}, { load })
    await process.products.get('1')
    isBroken = true
    await world.clock.advance(10_000)
    await expect(process.products.get('1')).rejects.toThrow('down')
    const stale = await process.products.read('1', { allowStale: true })
    expect(stale).toMatchObject({ layer: 'stale', stale: true, value: { version: 1 } })
    const token = world.pipeline.commit()
    await expect(process.products.read('1', { allowStale: true, token })).rejects.toThrow('down')
    await world.change('1')
    await expect(process.products.read('1', { allowStale: true })).rejects.toThrow('down')
  })

  test('without L1 the stale value comes from Redis', async () => {
    const filler = await world.process()
    await filler.products.get('1')
    await world.clock.advance(10_000)
    const process = await world.process({}, failing(new Error('down')))
    expect(await process.products.read('1', { allowStale: true })).toMatchObject({
      layer: 'stale',
      value: { version: 1 },
    })
  })

  test('while Redis fails, L1 goes on within its contract, then loads answer', async () => {
    const process = await world.process({ maxStalenessMs: 2_000 })
    await process.products.get('1')
    process.gates.fail(new Error('connection lost'))
    await world.clock.advance(1_000)
    expect(await layerOf(process)).toBe('l1')
    expect(await layerOf(process, '2')).toBe('load')
    await world.clock.advance(1_500)
    expect(await layerOf(process)).toBe('load')
    expect(process.cache.stats().redisErrors).toBeGreaterThan(0)
    process.gates.fail(null)
    await world.beat(1_500)
    expect(await layerOf(process)).toBe('l1')
  })

  test('a full Redis costs its share of the cache only', async () => {
    const process = await world.process()
    world.server.isFull = true
    expect(await process.products.read('1')).toMatchObject({ layer: 'load', stored: false })
    expect(await layerOf(process)).toBe('l1')
    await world.change('1')
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
  })

  test('a stop ends the reads that wait and withdraws the process', async () => {
    const process = await world.process({ processId: 'p1' })
    await world.beat(200)
    expect(JSON.parse(world.server.acks.get('p1') ?? '{}')).toMatchObject({ id: process.cache.stats().tailPosition })
    process.holdLoads()
    const reading = Promise.allSettled([process.products.get('1')])
    await settle()
    const stopping = process.cache.stop()
    await world.clock.advance(1_000)
    await stopping
    expect(await reading).toMatchObject([{ status: 'rejected', reason: { code: 'LOCKSTEP_CACHE_STOPPED' } }])
    expect(world.server.acks.has('p1')).toBe(false)
  })
})
