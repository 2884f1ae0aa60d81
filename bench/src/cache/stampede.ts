import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createTestPipeline } from '@lockstep/cache/testing'
import { median } from '../bench.ts'
import type { CacheRig } from './rig.ts'

interface Report {
  readonly loads: number
  readonly loadEndedAt: number
  readonly lastAnswerAt: number
}

const READERS = 10_000
const LOAD_MS = 200
const ROUNDS = 5
const CHILD = fileURLToPath(new URL('stampede-child.ts', import.meta.resolve('@lockstep/cache/testing')))

/** Most loads of any run, and ms from the end of the load to the last of 10,000 answers, median. */
export async function measureStampede(
  rig: CacheRig,
  processes: number,
): Promise<{ readonly loads: number; readonly lastAnswerMs: number }> {
  const loads: number[] = []
  const lastAnswerMs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const reports = await stampede(rig, processes)
    loads.push(reports.reduce((sum, report) => sum + report.loads, 0))
    const end = Math.max(...reports.map(({ loadEndedAt }) => loadEndedAt))
    lastAnswerMs.push(Math.max(...reports.map(({ lastAnswerAt }) => lastAnswerAt)) - end)
  }
  return { loads: Math.max(...loads), lastAnswerMs: median(lastAnswerMs) }
}

async function stampede(rig: CacheRig, processes: number): Promise<Report[]> {
  const namespace = `stampede-${randomUUID()}`
  const pipeline = createTestPipeline(rig.redis, namespace)
  await pipeline.start()
  const order = { redisUrl: rig.url, namespace, readers: READERS / processes, loadMs: LOAD_MS, noLease: false }
  const children = Array.from({ length: processes }, () => fork(CHILD, [JSON.stringify(order)]))
  try {
    await Promise.all(children.map((child) => once(child, 'message')))
    const reports = children.map(async (child) => (await once(child, 'message'))[0] as Report)
    for (const child of children) child.send('go')
    return await Promise.all(reports)
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill()
    await pipeline.stop()
  }
}
