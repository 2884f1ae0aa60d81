import { fork, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { StampedeOrder, StampedeReport } from './testing/stampede-child.ts'
import { createTestPipeline, type TestPipeline } from './testing/test-pipeline.ts'

const CHILD = fileURLToPath(new URL('./testing/stampede-child.ts', import.meta.url))
const PROCESSES = 4
const READERS_EACH = 2_500

describe('cache/stampede', () => {
  let redis: Redis
  beforeAll(() => {
    redis = new Redis(inject('redisUrl'))
  })
  afterAll(() => redis.disconnect())

  async function stampede(noLease: boolean): Promise<StampedeReport[]> {
    const namespace = `stampede-${randomUUID()}`
    const pipeline: TestPipeline = createTestPipeline(redis, namespace)
    await pipeline.start()
    const order: StampedeOrder = {
      redisUrl: inject('redisUrl'),
      namespace,
      readers: READERS_EACH,
      loadMs: 200,
      noLease,
    }
    const children: ChildProcess[] = Array.from({ length: PROCESSES }, () =>
      fork(CHILD, [JSON.stringify(order)], { execArgv: ['-C', 'lockstep-source'] }),
    )
    try {
      await Promise.all(children.map((child) => once(child, 'message')))
      const reports = children.map(async (child) => (await once(child, 'message'))[0] as StampedeReport)
      for (const child of children) child.send('go')
      return await Promise.all(reports)
    } finally {
      for (const child of children) if (child.exitCode === null) child.kill()
      await pipeline.stop()
    }
  }

  test('10,000 readers of one cold key in four processes cause exactly one load', async () => {
    const reports = await stampede(false)
    const loadEndedAt = Math.max(...reports.map((report) => report.loadEndedAt))
    const lastAnswerAt = Math.max(...reports.map((report) => report.lastAnswerAt))
    process.stdout.write(
      `stampede: last of 10,000 answers ${(lastAnswerAt - loadEndedAt).toFixed(1)} ms after the load\n`,
    )
    expect(reports.map(({ loads }) => loads).toSorted((a, b) => a - b)).toEqual([0, 0, 0, 1])
    expect(new Set(reports.flatMap(({ values }) => values)).size).toBe(1)
    // Tens of ms on an idle machine; the bound only tells waiting from hanging on a busy one.
    expect(lastAnswerAt - loadEndedAt).toBeLessThan(5_000)
  })

  test('without the lease every process loads for itself', async () => {
    const reports = await stampede(true)
    expect(reports.map(({ loads }) => loads)).toEqual([1, 1, 1, 1])
  })
})
