import { describe, expect, test } from 'vitest'
import { Admission } from './admission.ts'
import { FakeClock, settle } from './testing/fake-clock.ts'

const REFUSAL = new Error('no turn')
const WORK_MS = 10

/** Two works at once, each of 10 ms. */
function open(queueMs = 105) {
  const clock = new FakeClock()
  const admission = new Admission({ maxConcurrent: 2, queueMs, clock, refusal: REFUSAL })
  const waits: number[] = []
  const one = async (workMs = WORK_MS): Promise<void> => {
    const since = clock.now()
    await admission.run(() => {
      waits.push(clock.now() - since)
      return clock.sleep(workMs)
    })
  }
  return { clock, admission, waits, one }
}

/** One work to know how long they take. */
async function learn({ clock, one }: ReturnType<typeof open>): Promise<void> {
  const done = one()
  await clock.advance(WORK_MS)
  await done
}

describe('cache/admission', () => {
  test('who cannot have a turn in time is refused at once, the others have one', async () => {
    const scene = open()
    await learn(scene)
    const outcomes = Promise.allSettled(Array.from({ length: 100 }, () => scene.one()))
    await settle()
    expect(scene.admission).toMatchObject({ running: 2, waiting: 20, refused: 78, isFull: true })
    await scene.clock.advance(120)
    const served = (await outcomes).filter(({ status }) => status === 'fulfilled')
    expect(served).toHaveLength(22)
    expect(Math.max(...scene.waits)).toBe(100)
  })

  test('a queue that stands is kept short, and no turn is lost by that', async () => {
    const scene = open(1_000)
    await learn(scene)
    // Ten times of what two can do, for three seconds.
    for (let round = 0; round < 300; round++) {
      for (let each = 0; each < 20; each++) scene.one().catch(() => undefined)
      await scene.clock.advance(WORK_MS)
    }
    expect(scene.waits.length).toBeGreaterThanOrEqual(2 * 300 - 1)
    expect(Math.max(...scene.waits)).toBeGreaterThan(900)
    expect(Math.max(...scene.waits.slice(-100))).toBeLessThanOrEqual(100 + WORK_MS)
    expect(scene.admission.waiting).toBeLessThanOrEqual(20)
  })

  test('once nobody has waited, a burst may use all of the wait again', async () => {
    const scene = open()
    await learn(scene)
    for (let round = 0; round < 30; round++) {
      for (let each = 0; each < 20; each++) scene.one().catch(() => undefined)
      await scene.clock.advance(WORK_MS)
    }
    await scene.clock.advance(200)
    expect(scene.admission).toMatchObject({ running: 0, waiting: 0 })
    for (let each = 0; each < 22; each++) scene.one().catch(() => undefined)
    await settle()
    expect(scene.admission.waiting).toBe(20)
  })

  test('where nothing moves any more, few are let in to wait for it', async () => {
    const scene = open()
    await learn(scene)
    for (let each = 0; each < 2; each++) void scene.one(10_000)
    await scene.clock.advance(50)
    for (let each = 0; each < 50; each++) scene.one().catch(() => undefined)
    await settle()
    expect(scene.admission.waiting).toBe(4)
    await scene.clock.advance(105)
    expect(scene.admission).toMatchObject({ waiting: 0, refused: 50 })
  })
})
