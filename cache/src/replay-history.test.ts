import type { Lsn } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createWorld, type Process, type World } from './testing/world.ts'

const lsn = (n: number): Lsn => BigInt(n) as Lsn

describe('cache/replay-history', () => {
  let world: World
  let process: Process

  beforeEach(async () => {
    world = await createWorld()
    process = await world.process()
  })
  afterEach(() => world.end())

  /** A heartbeat, 50 ms after the one before. */
  async function beatAt(text: string): Promise<string> {
    await world.clock.advance(50)
    await world.pipeline.heartbeat(text)
    await world.beat(50)
    return world.pipeline.stamp
  }

  test('a standby has reached the newest heartbeat at or below its position, and is as old as that', async () => {
    world.pipeline.commit()
    const first = await beatAt('0/10')
    world.pipeline.commit()
    const second = await beatAt('0/20')
    const { cache } = process
    expect(cache.replayed(lsn(0x0f))).toBeNull()
    expect(cache.replayed(lsn(0x10))?.stamp).toBe(first)
    expect(cache.replayed(lsn(0x1f))?.stamp).toBe(first)
    expect(cache.replayed(lsn(0x20))?.stamp).toBe(second)
    const ages = [0x10, 0x20].map((position) => cache.replayed(lsn(position))?.ageMs ?? 0)
    expect((ages[0] ?? 0) - (ages[1] ?? 0)).toBeCloseTo(100, 0)
  })

  test('a heartbeat that was replayed out of order tells nothing of a standby', async () => {
    world.pipeline.commit()
    const first = await beatAt('0/20')
    world.pipeline.commit()
    await beatAt('0/10')
    expect(process.cache.replayed(lsn(0x10))).toBeNull()
    expect(process.cache.replayed(lsn(0x20))?.stamp).toBe(first)
  })

  test('nothing is known of a standby after the bus was lost, and nothing older than what came with it', async () => {
    world.pipeline.commit()
    await beatAt('0/10')
    await world.pipeline.open()
    await world.beat(100)
    expect(process.cache.replayed(lsn(0x99))).toBeNull()
    world.pipeline.commit()
    const after = await beatAt('0/10')
    expect(process.cache.replayed(lsn(0x10))?.stamp).toBe(after)
  })
})
