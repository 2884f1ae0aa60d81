import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCache } from './cache.ts'
import { settle } from './testing/fake-clock.ts'
import { createWorld, World, type Process } from './testing/world.ts'

const layerOf = async (process: Process, id = '1') => (await process.products.read(id)).layer

describe('cache/explicit: Redis without a pipeline', () => {
  let world: World
  beforeEach(() => {
    world = new World()
  })
  afterEach(() => world.end())
  const start = (options = {}) => world.process({ coherence: 'explicit', ...options })

  test('the layers work, and an invalidation reaches every process', async () => {
    const [first, second] = [await start(), await start()]
    await world.clock.advance(600)
    expect(await layerOf(first)).toBe('load')
    expect(await layerOf(second)).toBe('l2')
    expect(await layerOf(second)).toBe('l1')
    world.write('1')
    await first.cache.invalidate(['product:1'])
    await settle()
    expect(second.products.peek('1')).toBeUndefined()
    expect(await second.products.get('1')).toMatchObject({ version: 2 })
    expect(await first.products.get('1')).toMatchObject({ version: 2 })
    expect(first.cache.coherence).toBe('explicit')
  })

  test.each(['category:7', 'product:*', '*'])('an invalidation of %s reaches what depends on it', async (tag) => {
    const [first, second] = [await start(), await start()]
    await second.products.read('1')
    world.write('1')
    await first.cache.invalidate([tag])
    await settle()
    for (const { products } of [first, second]) expect(await products.get('1')).toMatchObject({ version: 2 })
  })

  test('a load that began before an invalidation is never kept', async () => {
    const [first, second] = [await start(), await start()]
    const answer = first.holdLoads()
    const old = first.products.get('1')
    await settle()
    world.write('1')
    await second.products.invalidate('1')
    await settle()
    answer()
    expect(await old).toMatchObject({ version: 1 })
    await settle()
    for (const { products } of [first, second]) expect(await products.get('1')).toMatchObject({ version: 2 })
  })

  test('a token demands what was committed before it', async () => {
    const [first, second] = [await start(), await start()]
    await second.products.read('1')
    world.write('1')
    const token = await first.cache.token()
    expect(await second.products.get('1')).toMatchObject({ version: 1 })
    expect(await second.products.get('1', { token })).toMatchObject({ version: 2 })
  })

  test('a process that hears nothing for longer than the contract serves nothing', async () => {
    const [first] = [await start({ maxStalenessMs: 1_000 })]
    await first.products.read('1')
    await world.clock.advance(900)
    expect(first.products.peek('1')).toBeDefined()
    first.gates.fail(new Error('cut off'))
    await world.clock.advance(1_200)
    expect(first.products.peek('1')).toBeUndefined()
  })

  test('an invalidation that Redis did not take fails, and this process vouches for nothing until it is attached again', async () => {
    const process = await start()
    await process.products.read('1')
    world.write('1')
    process.gates.fail(new Error('connection lost'))
    await expect(process.cache.invalidate(['product:1'])).rejects.toThrow('connection lost')
    expect(process.products.peek('1')).toBeUndefined()
    process.gates.fail(null)
    await world.clock.advance(1_200)
    await process.cache.invalidate(['product:1'])
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
  })

  test('an emptied Redis begins the sequence anew, and nothing older is valid', async () => {
    const process = await start()
    await process.products.read('1')
    await world.clock.advance(2_000)
    world.server.flushAll()
    world.write('1')
    await process.cache.invalidate(['product:1'])
    await world.clock.advance(3_000)
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
    expect(await layerOf(process)).toBe('l1')
  })

  test("a pipeline's namespace is refused", async () => {
    const piped = await createWorld()
    const failures: unknown[] = []
    const process = await piped.process({ coherence: 'explicit', events: { failed: (error) => failures.push(error) } })
    expect(String(failures[0])).toMatch(/set coherence to log/)
    await expect(process.cache.invalidate(['product:1'])).rejects.toThrow(/set coherence to log/)
    await piped.end()
  })
})

describe('cache/explicit: one process without Redis', () => {
  const rows = new Map<string, number>()
  const create = () => {
    const cache = createCache({ redis: null })
    const entry = cache.define<string, number>('n', {
      key: (id) => `n:${id}`,
      load: (id) => Promise.resolve(rows.get(id) ?? null),
      tags: () => ['all'],
      ttlMs: 60_000,
    })
    return { cache, entry }
  }

  test('values are kept, invalidated by key and tag, and labelled', async () => {
    const { cache, entry } = create()
    await cache.start()
    rows.set('1', 1)
    expect(await entry.read('1')).toMatchObject({ value: 1, layer: 'load', stored: false })
    rows.set('1', 2)
    expect(await entry.read('1')).toMatchObject({ value: 1, layer: 'l1' })
    await entry.invalidate('1')
    expect(await entry.get('1')).toBe(2)
    rows.set('1', 3)
    await cache.invalidate(['all'])
    expect(await entry.get('1')).toBe(3)
    expect(cache.coherence).toBe('explicit')
    await cache.stop()
  })

  test('before the start, nothing is kept', async () => {
    const { entry } = create()
    await entry.get('1')
    expect(entry.peek('1')).toBeUndefined()
  })

  test('the log needs Redis', () => {
    const refused = expect.objectContaining({ code: 'LOCKSTEP_CACHE_CONFIG' }) as Error
    expect(() => createCache({ redis: null, coherence: 'log' })).toThrow(refused)
  })
})
