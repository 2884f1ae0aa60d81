import type { Tag } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Incarnations } from './incarnations.ts'
import { createWorld, type Process, type World } from './testing/world.ts'

const CATEGORY = 'category:7' as Tag
const SEEN = { incarnation: 'a', livesUntil: 1_000, evictionMark: '' }

describe('cache/incarnations', () => {
  test('a fence is known while it lives long enough and nothing was evicted', () => {
    const known = new Incarnations()
    expect(known.of(CATEGORY, 0, '')).toBeNull()
    known.remember(CATEGORY, SEEN)
    expect(known.of(CATEGORY, 1_000, '')).toBe('a')
    expect(known.of(CATEGORY, 1_001, '')).toBeNull()
    expect(known.of(CATEGORY, 1_000, '1')).toBeNull()
    known.forget(CATEGORY)
    expect(known.of(CATEGORY, 0, '')).toBeNull()
  })

  test('they are bounded: the one that was seen longest ago is forgotten', () => {
    const known = new Incarnations()
    for (let n = 0; n < 10_001; n++) known.remember(`tag:${n}` as Tag, SEEN)
    expect(known.of('tag:0' as Tag, 0, '')).toBeNull()
    expect(known.of('tag:1' as Tag, 0, '')).toBe('a')
  })
})

describe('cache/fills under fences that are known', () => {
  let world: World
  beforeEach(async () => {
    world = await createWorld()
  })
  afterEach(() => world.end())

  const touches = async (process: Process, id: string): Promise<number> => {
    const before = process.gates.count('touch')
    expect(await process.products.read(id)).toMatchObject({ layer: 'load', stored: true })
    return process.gates.count('touch') - before
  }

  test('only the first value under a tag touches its fence, until that may end before a value', async () => {
    const process = await world.process()
    expect(await touches(process, '1')).toBe(1)
    expect(await touches(process, '2')).toBe(0)
    await world.beat(30_000)
    expect(await touches(process, '3')).toBe(1)
    expect(await touches(process, '4')).toBe(0)
  })

  test('another process reads what was stored, and the fences that it was stored under still hold', async () => {
    const first = await world.process()
    await touches(first, '1')
    await touches(first, '2')
    // It attaches behind a later change, so it judges by the fences themselves.
    await world.change('9')
    await world.pipeline.heartbeat()
    const second = await world.process()
    expect((await second.products.read('2')).layer).toBe('l2')
    await world.change('9', ['category:7'])
    await world.pipeline.heartbeat()
    const third = await world.process()
    expect((await third.products.read('2')).layer).toBe('load')
  })

  test('a fence that a reader missed is touched again', async () => {
    const process = await world.process({ l1: { maxBytes: 1 }, mirrorMaxFences: 1 })
    await touches(process, '1')
    world.server.strings.delete('f:category:7')
    expect(await touches(process, '2')).toBe(0)
    // The mirror forgets the first of these, so that from now on older values are judged by their fences.
    await world.change('8')
    await world.change('9')
    await world.pipeline.heartbeat()
    await world.beat()
    expect(await touches(process, '2')).toBe(1)
    expect((await process.products.read('2')).layer).toBe('l2')
  })

  test('what is loaded and not kept leaves no fence that lives long', async () => {
    world.write('5', 0)
    const process = await world.process({}, { negativeTtlMs: 0 })
    expect(await process.products.get('5')).toBeNull()
    expect(world.server.strings.life('f:product:5')).toBeLessThan(30_000)
    await process.products.read('6')
    expect(world.server.strings.life('f:product:6')).toBeGreaterThan(60_000)
  })

  test('a process that attaches anew asks anew', async () => {
    const process = await world.process()
    await touches(process, '1')
    await world.pipeline.open()
    await world.pipeline.heartbeat()
    await world.beat(100)
    expect(await touches(process, '2')).toBe(1)
  })
})
