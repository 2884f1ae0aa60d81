import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { settle } from './testing/fake-clock.ts'
import { createWorld, type Process, type World } from './testing/world.ts'
import type { UnsafeSwitches } from './types.ts'

/**
 * Each law is told twice: with everything on it holds, with one protection off the same schedule serves the old version,
 * so the law is about that protection and the test is able to fail.
 */
describe('cache/races', () => {
  let world: World
  beforeEach(async () => {
    world = await createWorld()
  })
  afterEach(() => world.end())

  const versionOf = async (process: Process, id = '1'): Promise<number | undefined> =>
    (await process.products.get(id))?.version

  type Schedule = (unsafe: UnsafeSwitches) => Promise<number | undefined>
  function law(name: string, schedule: Schedule, protections: readonly (keyof UnsafeSwitches)[]): void {
    test(`${name}`, async () => {
      expect(await schedule({})).toBe(2)
    })
    test.each(protections)(
      `the old version is served without the protection behind %s: ${name}`,
      async (protection) => {
        expect(await schedule({ [protection]: true })).toBe(1)
      },
    )
  }

  law(
    'a fill that loaded before an invalidation of its key never outlives it',
    async (unsafe) => {
      const process = await world.process({ unsafe })
      const release = process.holdLoads()
      const early = process.products.get('1')
      await settle()
      await world.change('1')
      release()
      if ((await early)?.version !== 1) throw new Error('the load was to begin before the change')
      return versionOf(process)
    },
    ['ignoreFences', 'stampAfterLoad'],
  )

  law(
    'a fill that loaded before an invalidation of one of its tags never outlives it, in Redis either',
    async (unsafe) => {
      const process = await world.process({ unsafe })
      const other = await world.process({ unsafe })
      const release = process.holdLoads()
      const early = process.products.get('1')
      await settle()
      await world.change('1', ['category:7'])
      release()
      await early
      return versionOf(other)
    },
    ['ignoreFences', 'stampAfterLoad'],
  )

  law(
    'a reader that arrives after an invalidation never shares a load from before it',
    async (unsafe) => {
      const process = await world.process({ unsafe })
      const release = process.holdLoads()
      const early = process.products.get('1')
      await settle()
      await world.change('1')
      const late = process.products.get('1')
      await settle()
      release()
      await world.clock.advance(1_000)
      await early
      return (await late)?.version
    },
    ['shareAnyFlight'],
  )

  law(
    'a reader that arrives after a tag was fenced never shares a load that turns out to carry the tag',
    async (unsafe) => {
      const process = await world.process({ unsafe })
      const release = process.holdLoads()
      const early = process.products.get('1')
      await settle()
      await world.change('1', ['category:7'])
      const late = process.products.get('1')
      await settle()
      release()
      await world.clock.advance(1_000)
      await early
      return (await late)?.version
    },
    ['shareAnyFlight'],
  )

  law(
    'a value read from Redis before an invalidation never enters L1 after it',
    async (unsafe) => {
      const filler = await world.process()
      await filler.products.get('1')
      const process = await world.process({ unsafe })
      const gate = process.gates.hold('after value')
      const early = process.products.get('1')
      await gate.reached
      await world.change('1')
      gate.open()
      await early
      return versionOf(process)
    },
    ['blindPromotion', 'ignoreFences'],
  )

  law(
    'fences are not taken from a promoted replica that missed what this process began behind',
    async (unsafe) => {
      const filler = await world.process()
      await filler.products.get('1')
      await settle()
      const promote = world.server.fallBehind()
      await world.change('1')
      const process = await world.process({ unsafe })
      // The connection that reads values finds the promoted node before the one that reads the bus does.
      promote()
      return versionOf(process)
    },
    ['believeAnyNode'],
  )

  law(
    'a trimmed bus empties L1',
    async (unsafe) => {
      const process = await world.process({ unsafe })
      await process.products.get('1')
      const gate = process.gates.hold('before read')
      await world.beat(600)
      await world.change('1')
      world.server.trimBus()
      await world.beat()
      gate.open()
      await world.beat()
      return versionOf(process)
    },
    ['ignoreGaps'],
  )

  law(
    'a process that stops hearing the bus stops serving its layers when the contract runs out',
    async (unsafe) => {
      const process = await world.process({ unsafe, maxStalenessMs: 5_000 })
      await process.products.get('1')
      process.gates.hold('after read')
      await world.beat(600)
      await world.change('1')
      await world.beat(5_500)
      return versionOf(process)
    },
    ['ignoreFreshness'],
  )

  law(
    'an emptied Redis ends the validity of L1 within the contract',
    async (unsafe) => {
      const process = await world.process({ unsafe, maxStalenessMs: 900 })
      await process.products.get('1')
      world.server.flushAll()
      world.write('1')
      // Shorter than the silence after which the tail asks for `w`, so that freshness alone decides.
      await world.clock.advance(950)
      return versionOf(process)
    },
    ['ignoreFreshness'],
  )

  law(
    'a machine that was suspended bypasses its layers although its monotonic clock saw no time pass',
    async (unsafe) => {
      const process = await world.process({ unsafe })
      await process.products.get('1')
      process.gates.hold('after read')
      process.gates.hold('after time')
      await world.clock.advance(0)
      world.write('1')
      await world.clock.advance(8_000)
      process.clock.suspended(8_000)
      return versionOf(process)
    },
    ['ignoreClockJump'],
  )

  test('processes that miss one key together load it once, and each for itself without the lease', async () => {
    const readers = await Promise.all([world.process(), world.process(), world.process()])
    const read = Promise.all(readers.map((process) => versionOf(process, '5')))
    await world.clock.advance(200)
    expect(await read).toEqual([1, 1, 1])
    expect(readers.reduce((sum, process) => sum + process.loads(), 0)).toBe(1)
    const lonely = await Promise.all([1, 2, 3].map(() => world.process({ unsafe: { noLease: true } })))
    await Promise.all(lonely.map((process) => versionOf(process, '6')))
    expect(lonely.reduce((sum, process) => sum + process.loads(), 0)).toBe(3)
  })
})
