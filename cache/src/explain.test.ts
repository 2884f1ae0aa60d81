import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { prometheusText } from './metrics.ts'
import { settle } from './testing/fake-clock.ts'
import { createWorld, type World } from './testing/world.ts'

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.end())

describe('cache/explain', () => {
  test('a key in both layers: stamps, fences, ages and why it is valid', async () => {
    const process = await world.process()
    await process.products.read('1')
    await world.beat(500)
    const valid = { stamp: world.pipeline.stamp, isValid: true, reason: 'no fence is newer than its stamp' }
    const { l1, redis, events } = await process.cache.explain('product:1')
    expect(l1).toMatchObject({ ...valid, ageMs: 500, endsInMs: 59_500 })
    expect(redis).toMatchObject(valid)
    expect(redis?.fences.map(({ tag }) => tag)).toEqual(['product:1', 'category:7'])
    expect(redis?.fences.every(({ fence, filledUnder }) => fence !== null && filledUnder !== '')).toBe(true)
    expect(events.map(({ kind }) => kind)).toEqual(['loaded', 'stored'])
    expect(await process.cache.explain('product:2')).toMatchObject({ l1: null, redis: null, events: [] })
  })

  test.each([
    ['the fence of category:7 is newer than its stamp', () => world.change('1', ['category:7'])],
    ['the fence of product:* is newer than its stamp', () => world.change('1', ['product:*'])],
    ['its time to live is over', () => world.beat(60_100)],
    ['what this process has applied is older than the contract', () => world.clock.advance(6_000)],
    [
      'the fence of product:1 is not in Redis any more',
      () => Promise.resolve(world.server.strings.delete('f:product:1')),
    ],
  ])('%s', async (reason, happen) => {
    const process = await world.process()
    await process.products.read('1')
    const stored = world.server.strings.get('v:product:1') ?? ''
    await happen()
    world.server.strings.set('v:product:1', stored, 60_000)
    expect((await process.cache.explain('product:1')).redis).toMatchObject({ isValid: false, reason })
  })

  test('a Redis that fails is named', async () => {
    const process = await world.process()
    process.gates.fail(new Error('connection lost'))
    expect((await process.cache.explain('product:1')).redis).toMatchObject({
      isValid: false,
      reason: 'Redis: connection lost',
    })
  })

  test('the last 32 events of a key, and of no more keys than told', async () => {
    const process = await world.process({ explainKeys: 1 })
    for (let n = 0; n < 40; n++) {
      await process.products.refresh('1')
      await settle()
    }
    const { events } = await process.cache.explain('product:1')
    expect(events).toHaveLength(32)
    await world.change('1')
    expect((await process.cache.explain('product:1')).events.at(-1)).toMatchObject({ kind: 'fenced', agoMs: 0 })
    await process.products.read('2')
    expect((await process.cache.explain('product:1')).events).toEqual([])
  })

  test('subscribers of the diagnostics channel hear of every event', async () => {
    const heard: unknown[] = []
    const listener = (message: unknown): void => void heard.push(message)
    subscribe('lockstep:cache:key', listener)
    try {
      const process = await world.process()
      await process.products.read('1')
      await world.change('1')
      expect(heard).toMatchObject([{ key: 'product:1', kind: 'loaded' }, { kind: 'stored' }, { kind: 'fenced' }])
    } finally {
      unsubscribe('lockstep:cache:key', listener)
    }
  })
})

describe('cache/metrics', () => {
  test('every instrument is declared once, with closed labels, and counts', async () => {
    const process = await world.process()
    await process.products.read('1')
    await process.products.read('1')
    const lines = prometheusText(process.cache).trimEnd().split('\n')
    expect(lines).toContain('lockstep_cache_requests_total{layer="l1",outcome="hit"} 1')
    expect(lines).toContain('lockstep_cache_fills_total{outcome="stored"} 1')
    expect(lines).toContain('lockstep_cache_info{coherence="log"} 1')
    for (const line of lines)
      expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[\w-]+"(,\w+="[\w-]+")*\})? (NaN|[\d.e-]+))$/)
    const declared = lines.filter((line) => line.startsWith('# TYPE'))
    expect(new Set(declared).size).toBe(declared.length)
  })
})
