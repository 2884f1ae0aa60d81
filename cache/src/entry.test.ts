import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { settle } from './testing/fake-clock.ts'
import { createWorld, type Process, type Row, type World } from './testing/world.ts'
import type { EntryDefinition } from './types.ts'

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.end())

const start = (definition: Partial<EntryDefinition<string, Row>> = {}, options = {}): Promise<Process> =>
  world.process({ maxStalenessMs: 60_000, ...options }, { ttlMs: 1_000, ...definition })
/** A loader that answers its runs in order, but for the second, which waits to be told. */
function secondHeld() {
  const renewal = Promise.withResolvers<Row>()
  let runs = 0
  const load = (id: string): Promise<Row> => {
    runs += 1
    return runs === 2 ? renewal.promise : Promise.resolve({ id, version: runs })
  }
  return { load, renewal }
}
const layerOf = async (process: Process, id = '1') => (await process.products.read(id)).layer

describe('cache/entry: grace', () => {
  test('behind its end a value is served at once while one load renews it, in L1 and from Redis', async () => {
    const process = await start({ graceMs: 5_000 })
    await process.products.read('1')
    await world.beat(1_100)
    const answer = process.holdLoads()
    expect(await Promise.all([1, 2, 3].map(() => layerOf(process)))).toEqual(['l1', 'l1', 'l1'])
    await settle()
    expect(process.loads()).toBe(2)
    const other = await start({ graceMs: 5_000 })
    expect(await layerOf(other)).toBe('l2')
    answer()
    await settle()
    expect(process.cache.stats()).toMatchObject({ graced: 3, refreshes: 1 })
    await world.beat(900)
    expect(await layerOf(process)).toBe('l1')
    expect(process.loads()).toBe(2)
  })

  test('no grace outlives a fence or the contract', async () => {
    const process = await start({ graceMs: 60_000 }, { maxStalenessMs: 3_000 })
    await process.products.read('1')
    await world.beat(1_100)
    await world.change('1')
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
    await world.beat(1_100)
    await world.clock.advance(3_100)
    expect(process.products.peek('1')).toBeUndefined()
    expect(await layerOf(process)).toBe('load')
  })

  test('behind the grace the value has ended', async () => {
    const process = await start({ graceMs: 500 })
    await process.products.read('1')
    await world.beat(1_600)
    expect(await layerOf(process)).toBe('load')
  })

  test('a renewal that fails leaves the value, and is tried again after a pause', async () => {
    let isDown = false
    let attempts = 0
    const load = (id: string): Promise<Row> => {
      attempts += 1
      return isDown ? Promise.reject(new Error('down')) : Promise.resolve({ id, version: 1 })
    }
    const process = await start({ graceMs: 60_000, load })
    await process.products.read('1')
    isDown = true
    await world.beat(1_100)
    for (let n = 0; n < 5; n++) {
      expect(await layerOf(process)).toBe('l1')
      await settle()
    }
    expect(attempts).toBe(2)
    await world.beat(300)
    await layerOf(process)
    await settle()
    expect(attempts).toBe(3)
  })

  test('a renewal that fails when another value has come leaves that one alone', async () => {
    const { load, renewal } = secondHeld()
    const process = await start({ graceMs: 60_000, load })
    await process.products.read('1')
    await world.beat(1_100)
    expect(await layerOf(process)).toBe('l1')
    await world.change('1')
    expect(await process.products.get('1')).toMatchObject({ version: 3 })
    renewal.reject(new Error('down'))
    await world.beat(400)
    expect(await layerOf(process)).toBe('l1')
    expect(process.cache.stats()).toMatchObject({ refreshes: 1 })
  })

  test('who waits for a renewal that began before a fence does not get what it brings', async () => {
    const { load, renewal } = secondHeld()
    const process = await start({ graceMs: 60_000, softTimeoutMs: 2_000, load })
    await process.products.read('1')
    await world.beat(1_100)
    const first = process.products.get('1')
    await settle()
    await world.change('1')
    expect(await process.products.get('1')).toMatchObject({ version: 3 })
    await world.beat(1_100)
    const behind = process.products.get('1')
    await settle()
    renewal.resolve({ id: '1', version: 2 })
    expect(await behind).toMatchObject({ version: 3 })
    await first
  })

  test('a soft timeout waits for the new value, and takes the old one where that is late', async () => {
    const process = await start({ graceMs: 60_000, softTimeoutMs: 100 })
    await process.products.read('1')
    world.write('1')
    await world.beat(1_100)
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
    await world.beat(1_100)
    world.write('1')
    const answer = process.holdLoads()
    const reading = process.products.get('1')
    await world.clock.advance(150)
    expect(await reading).toMatchObject({ version: 2 })
    answer()
    await settle()
    expect(await process.products.get('1')).toMatchObject({ version: 3 })
  })
})

describe('cache/entry: refresh ahead', () => {
  test('eager: a value is renewed in the background from its share of life on, without a miss', async () => {
    const process = await start({ refreshAhead: { eager: 0.8 } })
    await process.products.read('1')
    await world.beat(700)
    await layerOf(process)
    await settle()
    expect(process.loads()).toBe(1)
    await world.beat(150)
    expect(await layerOf(process)).toBe('l1')
    await settle()
    expect(process.loads()).toBe(2)
    await world.beat(600)
    expect(await layerOf(process)).toBe('l1')
  })

  test('XFetch: the slower the load and the greater the draw, the earlier', async () => {
    // ttl 1,000, δ 200, β 1, −ln(1 − 0.5) = 0.693: due 139 ms before the end.
    const process = await start({ refreshAhead: { xfetch: 1 } }, { random: () => 0.5 })
    const answer = process.holdLoads()
    const reading = process.products.get('1')
    await settle()
    await world.beat(200)
    answer()
    await reading
    await settle()
    await world.beat(600)
    await layerOf(process)
    await settle()
    expect(process.loads()).toBe(1)
    await world.beat(100)
    expect(await layerOf(process)).toBe('l1')
    await settle()
    expect(process.loads()).toBe(2)
  })

  test('one process of the fleet renews; another takes what it loaded', async () => {
    const [first, second] = [
      await start({ refreshAhead: { eager: 0.5 } }),
      await start({ refreshAhead: { eager: 0.5 } }),
    ]
    await first.products.read('1')
    await second.products.read('1')
    await world.beat(600)
    await first.products.read('1')
    await settle()
    await second.products.read('1')
    await settle()
    expect([first.loads(), second.loads()]).toEqual([2, 0])
  })

  test('a renewal that began before an invalidation does not bring the old value back', async () => {
    const process = await start({ refreshAhead: { eager: 0.5 } })
    await process.products.read('1')
    await world.beat(600)
    const answer = process.holdLoads()
    await process.products.read('1')
    await settle()
    await world.change('1')
    answer()
    await settle()
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
  })
})

describe('cache/entry: many', () => {
  const bulk = () => {
    const asked: (readonly string[])[] = []
    const loadMany = async (ids: readonly string[]): Promise<(Row | null)[]> => {
      asked.push(ids)
      const rows = ids.map((id) => ({ id, version: world.version(id) }))
      await Promise.resolve()
      return rows.map((row) => (row.version === 0 ? null : row))
    }
    return { asked, loadMany }
  }

  test('what is missing is asked for together, the rest comes from the layers, in order', async () => {
    const { asked, loadMany } = bulk()
    const process = await start({ loadMany })
    await process.products.read('2')
    world.write('3', 0)
    expect(await process.products.getMany(['1', '2', '3', '1'])).toEqual([
      { id: '1', version: 1 },
      { id: '2', version: 1 },
      null,
      { id: '1', version: 1 },
    ])
    expect(asked).toEqual([['1', '3']])
    expect(await process.products.getMany([])).toEqual([])
  })

  test('each value is fenced for itself', async () => {
    const gate = Promise.withResolvers<void>()
    const loadMany = async (ids: readonly string[]): Promise<Row[]> => {
      const rows = ids.map((id) => ({ id, version: world.version(id) }))
      await gate.promise
      return rows
    }
    const process = await start({ loadMany })
    const reading = process.products.getMany(['1', '2'])
    await settle()
    await world.change('1')
    gate.resolve()
    await reading
    await settle()
    expect(process.products.peek('1')).toBeUndefined()
    expect(process.products.peek('2')).toEqual({ id: '2', version: 1 })
  })

  test('where there is no load, single reads of one turn are asked for together', async () => {
    const { asked, loadMany } = bulk()
    const process = await start({ load: undefined, loadMany } as unknown as Partial<EntryDefinition<string, Row>>)
    await Promise.all(['1', '2', '3'].map((id) => process.products.get(id)))
    expect(asked).toEqual([['1', '2', '3']])
  })

  test('what is made of something older carries the older stamp, all of one question alike', async () => {
    const older = world.pipeline.stamp
    await world.change('9')
    const loadMany: EntryDefinition<string, Row>['loadMany'] = (ids, context) => {
      context.asOf(older)
      return Promise.resolve(ids.map((id) => ({ id, version: 1 })))
    }
    const process = await start({ load: undefined, loadMany } as unknown as Partial<EntryDefinition<string, Row>>)
    const read = await Promise.all(['1', '2'].map((id) => process.products.read(id)))
    expect(process.cache.newestStamp()).not.toBe(older)
    expect(read.map(({ stamp }) => stamp)).toEqual([older, older])
  })

  test('a wrong number of answers fails the readers and stores nothing', async () => {
    const process = await start({ loadMany: () => Promise.resolve([]) })
    await expect(process.products.getMany(['1', '2'])).rejects.toThrow('loadMany answered 0 values for 2 questions')
    expect(process.cache.stats()).toMatchObject({ l1Entries: 0, stored: 0 })
  })
})

describe('cache/entry: writing', () => {
  test('refresh loads although a value is there, and replaces it in both layers', async () => {
    const [process, other] = [await start(), await start()]
    await process.products.read('1')
    world.write('1', 7)
    expect(await process.products.refresh('1')).toMatchObject({ version: 7 })
    await settle()
    expect(await process.products.get('1')).toMatchObject({ version: 7 })
    expect(await other.products.get('1')).toMatchObject({ version: 7 })
    expect(other.loads()).toBe(0)
  })

  test('a write commits, fences and refills; older loads are refused', async () => {
    const process = await start()
    const other = await start()
    await other.products.read('1')
    const written = await process.products.write('1', () => {
      world.write('1')
      return Promise.resolve(world.pipeline.commit())
    })
    expect(written).toMatchObject({ version: 2 })
    await settle()
    expect(process.products.peek('1')).toMatchObject({ version: 2 })
  })

  test('a write that fails changes nothing', async () => {
    const process = await start()
    await process.products.read('1')
    await expect(process.products.write('1', () => Promise.reject(new Error('conflict')))).rejects.toThrow('conflict')
    expect(process.products.peek('1')).toMatchObject({ version: 1 })
  })

  test('with a snapshot option stamps need not be given; without one they must', async () => {
    const blind = await start()
    const refused = expect.objectContaining({ code: 'LOCKSTEP_CACHE_CONFIG' }) as Error
    await expect(blind.products.invalidate('1')).rejects.toThrow(refused)
    await expect(blind.cache.token()).rejects.toThrow(refused)
    const process = await start(
      {},
      {
        snapshot: () => {
          const xmax = BigInt(`0x${world.pipeline.commit().slice(8, 24)}`)
          return Promise.resolve(`${xmax}:${xmax}:`)
        },
      },
    )
    await process.products.read('1')
    world.write('1')
    await process.products.invalidate('1')
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
    expect(await process.cache.token()).toBe(world.pipeline.stamp)
  })
})

describe('cache/entry: breaker', () => {
  test('after failures in a row loads are refused for a moment, then one finds out', async () => {
    let isDown = true
    let attempts = 0
    const load = (id: string): Promise<Row> => {
      attempts += 1
      return isDown ? Promise.reject(new Error('down')) : Promise.resolve({ id, version: 1 })
    }
    const process = await start({ load, breakerFailures: 3 })
    const outcomes: string[] = []
    for (let n = 0; n < 5; n++) {
      await process.products.get('1').catch((error: { code?: string }) => outcomes.push(error.code ?? 'down'))
    }
    expect(outcomes).toEqual(['down', 'down', 'down', 'LOCKSTEP_CACHE_LOADER_DOWN', 'LOCKSTEP_CACHE_LOADER_DOWN'])
    expect(attempts).toBe(3)
    isDown = false
    await world.clock.advance(150)
    expect(await process.products.get('1')).toMatchObject({ version: 1 })
    expect(await process.products.get('2')).toMatchObject({ version: 1 })
  })
})

describe('cache/entry: values', () => {
  test("frozen values refuse writes, cloned ones are the reader's own, shared ones are the same", async () => {
    const frozen = await start({ values: 'frozen' })
    const value = await frozen.products.get('1')
    expect(() => Object.assign(value ?? {}, { version: 9 })).toThrow(TypeError)
    const cloned = await start({ values: 'cloned' })
    const mine = await cloned.products.get('1')
    Object.assign(mine ?? {}, { version: 9 })
    expect(await cloned.products.get('1')).toMatchObject({ version: 1 })
    expect(cloned.products.peek('1')).not.toBe(cloned.products.peek('1'))
    const shared = await start()
    expect(await shared.products.get('1')).toBe(await shared.products.get('1'))
  })

  test('readers of one load that is cloned get one each', async () => {
    const process = await start({ values: 'cloned' })
    const answer = process.holdLoads()
    const reads = [1, 2, 3].map(() => process.products.get('1'))
    answer()
    const values = await Promise.all(reads)
    expect(new Set(values).size).toBe(3)
    expect(process.cache.stats()).toMatchObject({ loads: 1, coalesced: 2 })
  })

  test('hits share one promise until another value comes, because of a fence or without one', async () => {
    const process = await start({ ttlMs: 60_000 })
    const often = async (): Promise<unknown[]> => [
      await process.products.get('1'),
      await process.products.get('1'),
      await process.products.get('1'),
      await process.products.get('1'),
    ]
    const isShared = (): boolean => process.products.get('1') === process.products.get('1')
    await often()
    expect(isShared()).toBe(true)
    await world.change('1')
    expect(await often()).toMatchObject([{ version: 2 }, { version: 2 }, { version: 2 }, { version: 2 }])
    expect(isShared()).toBe(true)
    world.write('1', 7)
    await process.products.refresh('1')
    await settle()
    expect(await often()).toMatchObject([{ version: 7 }, { version: 7 }, { version: 7 }, { version: 7 }])
  })

  test('long texts are stored deflated, short ones as they are, and both are read back', async () => {
    const load = (id: string) => Promise.resolve({ id, version: 1, text: 'abc'.repeat(id === 'long' ? 1_000 : 1) })
    const process = await start({ compressAbove: 500, load })
    const other = await start({ load: () => Promise.reject(new Error('not asked')) })
    for (const id of ['long', 'short']) expect(await process.products.read(id)).toMatchObject({ stored: true })
    expect((world.server.strings.get('v:product:long') ?? '').length).toBeLessThan(400)
    for (const id of ['long', 'short']) expect(await other.products.get(id)).toEqual(await load(id))
  })

  test('lives are jittered by the share given', async () => {
    const draws = [0, 0.5]
    const process = await start({ ttlJitter: 0.4 }, { random: () => draws.shift() ?? 0 })
    await process.products.read('1')
    await process.products.read('2')
    await world.beat(850)
    expect([process.products.peek('1'), process.products.peek('2')]).toEqual([{ id: '1', version: 1 }, undefined])
  })

  test('promote hot: a key from Redis enters L1 when it is read again, and its fences hold as ever', async () => {
    const filler = await start()
    await filler.products.read('1')
    const process = await start({ promote: 'hot' })
    expect([await layerOf(process), await layerOf(process), await layerOf(process)]).toEqual(['l2', 'l2', 'l1'])
    await world.change('1')
    expect(await process.products.get('1')).toMatchObject({ version: 2 })
  })

  test('an entry may have a memory of its own, which fences reach', async () => {
    const process = await start({ l1: { maxEntries: 1 } })
    await process.products.read('1')
    await process.products.read('2')
    expect([process.products.peek('1'), process.products.peek('2')]).toEqual([undefined, { id: '2', version: 1 }])
    await world.change('2')
    expect(process.products.peek('2')).toBeUndefined()
  })

  test.each([
    [{ ttlMs: 0 }],
    [{ ttlJitter: 1 }],
    [{ graceMs: -1 }],
    [{ loadTimeoutMs: 60_000 }],
    [{ refreshAhead: { eager: 1 } }],
    [{ load: undefined }],
  ])('%j is refused when the entry is defined', async (part) => {
    const { cache } = await start()
    const definition = { key: String, load: () => Promise.resolve(null), tags: () => [], ttlMs: 1, ...part }
    const refused = expect.objectContaining({ code: 'LOCKSTEP_CACHE_CONFIG' }) as Error
    expect(() => cache.define('other', definition as EntryDefinition<string, Row>)).toThrow(refused)
  })
})
