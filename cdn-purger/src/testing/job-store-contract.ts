import { expect, test } from 'vitest'
import { createAuditLog, type AuditLine } from '../admin/audit.ts'
import { createJobStore } from '../admin/job-store.ts'
import { JOB_STATES, type Job, type JobStore } from '../admin/jobs.ts'
import type { SqlDatabase } from '../journal/sql.ts'

const job = (id: string, more: Partial<Job> = {}): Job => ({
  id,
  kind: 'replay',
  state: 'running',
  actor: 'ann',
  reason: 'quote " tab \t and \ud83d\ude00',
  createdMs: 1,
  total: 3,
  done: 0,
  refused: 0,
  cursor: '',
  ...more,
})
const key = (name: string, requestHash = 'h') => ({ actor: 'ann', key: name, requestHash })

/** The laws of jobs and audit log on one database; `open` answers a connection to the same empty one each time in a test. */
export function registerJobStoreContract(open: () => Promise<SqlDatabase>): void {
  const law = (name: string, body: (jobs: JobStore, database: SqlDatabase) => Promise<void>) =>
    // oxlint-disable-next-line vitest/valid-title, vitest/expect-expect -- the laws below give both
    test(name, async () => {
      const database = await open()
      try {
        await body(createJobStore(database), database)
      } finally {
        await database.close()
      }
    })

  law('of requests with one key that race, one makes the job and all get it', async (jobs) => {
    const made = await Promise.all(['a', 'b', 'c'].map(async (id) => jobs.create(job(id), key('k', id))))
    expect(new Set(made.map((keyed) => JSON.stringify(keyed))).size).toBe(1)
    expect(await jobs.list({ limit: 10 })).toEqual([made[0]?.job])
    expect(await jobs.find({ actor: 'ann', key: 'k' })).toEqual(made[0])
    expect(await jobs.find({ actor: 'bob', key: 'k' })).toBeNull()
  })

  law('jobs without a key, and equal keys of different people, do not meet', async (jobs) => {
    await jobs.create(job('a'), null)
    await jobs.create(job('b'), null)
    await jobs.create(job('c'), key('k'))
    await jobs.create(job('d', { actor: 'bob' }), { ...key('k'), actor: 'bob' })
    expect((await jobs.list({ limit: 10 })).map(({ id }) => id)).toEqual(['d', 'c', 'b', 'a'])
  })

  law('a job is read back as it was stored, and an unknown one is null', async (jobs) => {
    const stored = job('a', { selection: { fromMs: 1, toMs: 2, fromLsn: '18446744073709551615' } })
    await jobs.create(stored, null)
    expect(await jobs.find({ id: 'a' })).toEqual({ job: stored, requestHash: '' })
    expect(await jobs.find({ id: 'b' })).toBeNull()
    expect(await jobs.update('b', (current) => current)).toBeNull()
  })

  law('changes that race are all made, each upon the one before', async (jobs) => {
    await jobs.create(job('a'), null)
    const add = (current: Job): Job => ({ ...current, done: current.done + 1 })
    await Promise.all(Array.from({ length: 8 }, async () => jobs.update('a', add)))
    expect((await jobs.find({ id: 'a' }))?.job.done).toBe(8)
    expect((await jobs.update('a', () => null))?.done).toBe(8)
  })

  law('the list is newest first, by kind and state, and goes on after any of its jobs', async (jobs) => {
    for (const [index, id] of ['a', 'b', 'c', 'd'].entries())
      await jobs.create(job(id, { createdMs: index < 2 ? 1 : 2, kind: id === 'd' ? 'purge' : 'replay' }), null)
    await jobs.update('b', (current) => ({ ...current, state: 'paused' }))
    const ids = async (query: Partial<Parameters<JobStore['list']>[0]>) =>
      (await jobs.list({ limit: 10, ...query })).map(({ id }) => id)
    expect(await ids({})).toEqual(['d', 'c', 'b', 'a'])
    expect(await ids({ kind: 'replay', limit: 2 })).toEqual(['c', 'b'])
    expect(await ids({ states: ['running', 'failed'] })).toEqual(['d', 'c', 'a'])
    expect(await ids({ before: { id: 'b', createdMs: 1 } })).toEqual(['a'])
  })

  law('old jobs are forgotten with their keys, except those that are not over', async (jobs) => {
    for (const state of JOB_STATES) await jobs.create(job(state, { state, createdMs: 1_000 }), key(state))
    await jobs.create(job('young', { state: 'completed', createdMs: 2_000 }), key('young'))
    await jobs.prune(2_000)
    const left = (await jobs.list({ limit: 10 })).map(({ id }) => id)
    expect(left.toSorted()).toEqual(['paused', 'running', 'young'])
    expect(await jobs.find({ actor: 'ann', key: 'completed' })).toBeNull()
  })

  const line: AuditLine = {
    atMs: 1_000,
    requestId: 'r',
    actor: 'ann',
    role: 'operator',
    method: 'POST',
    path: '/v1/purges',
    bodyHash: '',
    status: null,
  }

  law('old audit lines are forgotten', async (_jobs, database) => {
    const audit = createAuditLog(database)
    for (const atMs of [1_000, 2_000]) await audit.record({ ...line, atMs })
    await audit.prune(2_000)
    expect(await audit.read(10)).toEqual([{ ...line, atMs: 2_000 }])
  })

  law('audit lines are read back, the newest first', async (_jobs, database) => {
    const audit = createAuditLog(database)
    await audit.record(line)
    await audit.record({ ...line, atMs: 2_000, status: 202 })
    expect(await audit.read(10)).toEqual([{ ...line, atMs: 2_000, status: 202 }, line])
    expect(await audit.read(1)).toHaveLength(1)
  })
}
