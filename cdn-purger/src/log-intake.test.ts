import { createMemoryLog, noMetrics, silentLogger } from '@lockstep/runtime'
import type { LogBatch } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { Coalescer } from './coalescer.ts'
import { LogIntake } from './log-intake.ts'
import { createPurgerMetrics } from './metrics.ts'

function setUp() {
  const time = new FakeTime()
  const intake = new LogIntake({
    log: createMemoryLog(),
    coalescer: new Coalescer(),
    time,
    random: () => 0,
    logger: silentLogger,
    metrics: createPurgerMetrics(noMetrics, time),
    durable: async () => Promise.resolve(),
    onTaken: () => undefined,
  })
  const take = async (partition: number, from: bigint, to: bigint, endOffset: bigint) => {
    const ignore = () => undefined
    const batch: LogBatch = {
      topic: 'purges',
      partition,
      firstOffset: from,
      nextOffset: to,
      endOffset,
      records: [],
      commit: ignore,
      rewind: ignore,
    }
    await intake.take(batch, new AbortController().signal)
  }
  return { time, intake, take }
}

describe('cdn-purger/log-intake', () => {
  test('it catches up to the end that a partition had when it was given to us, however long that takes', async () => {
    const { time, intake, take } = setUp()
    await take(0, 10n, 20n, 40n)
    await time.advance(1_500)
    await take(0, 20n, 30n, 70n)
    await time.advance(1_500)
    expect(intake.isCatchingUp).toBe(true)
    await take(0, 30n, 40n, 90n)
    expect(intake.isCatchingUp).toBe(false)
    await take(0, 40n, 50n, 90n)
    expect(intake.isCatchingUp).toBe(false)
  })

  test('a partition that comes back after a rebalance is caught up with again', async () => {
    const { intake, take } = setUp()
    await take(0, 0n, 10n, 10n)
    await take(0, 5n, 8n, 30n)
    expect(intake.isCatchingUp).toBe(true)
  })

  test('a partition that brings nothing more is not waited for', async () => {
    const { time, intake, take } = setUp()
    await take(0, 0n, 10n, 40n)
    await time.advance(5_100)
    expect(intake.isCatchingUp).toBe(false)
  })
})
