import { once, SCHEMA_LOCK } from '../journal/sql.ts'
import type { SqlDatabase, SqlRow, SqlValue } from '../journal/sql.ts'
import type { Job, JobStore, KeyedJob } from './jobs.ts'

const CREATE = [
  `CREATE TABLE IF NOT EXISTS purge_jobs (id text PRIMARY KEY, kind text NOT NULL, state text NOT NULL,
     created_ms bigint NOT NULL, version bigint NOT NULL, actor text NOT NULL, idempotency_key text,
     request_hash text NOT NULL, job text NOT NULL, UNIQUE (actor, idempotency_key))`,
  'CREATE INDEX IF NOT EXISTS purge_jobs_created ON purge_jobs (created_ms, id)',
]

/** Jobs in a database; its table is made with the first use. */
export function createJobStore(database: SqlDatabase): JobStore {
  const lock = database.kind === 'postgres' ? [SCHEMA_LOCK] : []
  const ready = once(async () => database.transact([...lock, ...CREATE].map((text) => [text])))
  const rows = async (text: string, params: readonly SqlValue[]): Promise<readonly SqlRow[]> => {
    await ready()
    return await database.query(text, params)
  }
  const find: JobStore['find'] = async (by) => {
    const [found] =
      'id' in by
        ? await rows('SELECT job, request_hash FROM purge_jobs WHERE id = $1', [by.id])
        : await rows('SELECT job, request_hash FROM purge_jobs WHERE actor = $1 AND idempotency_key = $2', [
            by.actor,
            by.key,
          ])
    return found ? keyedOf(found) : null
  }
  return {
    find,
    async create(job, key) {
      const requestHash = key?.requestHash ?? ''
      const created = await rows(
        `INSERT INTO purge_jobs (id, kind, state, created_ms, version, actor, idempotency_key, request_hash, job)
           VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8) ON CONFLICT (actor, idempotency_key) DO NOTHING RETURNING id`,
        [job.id, job.kind, job.state, job.createdMs, job.actor, key?.key ?? null, requestHash, JSON.stringify(job)],
      )
      if (created.length > 0 || !key) return { job, requestHash }
      return (await find({ actor: key.actor, key: key.key })) ?? { job, requestHash }
    },
    async list({ kind, states, before, limit }) {
      const params: SqlValue[] = []
      const conditions: string[] = []
      const mark = (value: SqlValue) => `$${params.push(value)}`
      if (kind) conditions.push(`kind = ${mark(kind)}`)
      if (states) conditions.push(`state IN (${states.map(mark).join(', ')})`)
      if (before) conditions.push(`(created_ms, id) < (${mark(before.createdMs)}, ${mark(before.id)})`)
      const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
      const text = `SELECT job FROM purge_jobs ${where} ORDER BY created_ms DESC, id DESC LIMIT ${mark(limit)}`
      return (await rows(text, params)).map((row) => JSON.parse(String(row['job'])) as Job)
    },
    async update(id, change) {
      for (;;) {
        const [row] = await rows('SELECT job, version FROM purge_jobs WHERE id = $1', [id])
        if (!row) return null
        const job = JSON.parse(String(row['job'])) as Job
        const changed = change(job)
        if (!changed) return job
        const stored = await rows(
          'UPDATE purge_jobs SET job = $1, state = $2, version = version + 1 WHERE id = $3 AND version = $4 RETURNING id',
          [JSON.stringify(changed), changed.state, id, Number(row['version'])],
        )
        if (stored.length > 0) return changed
      }
    },
    prune: async (beforeMs) =>
      void (await rows("DELETE FROM purge_jobs WHERE created_ms < $1 AND state NOT IN ('running', 'paused')", [
        Math.floor(beforeMs),
      ])),
  }
}

function keyedOf(row: SqlRow): KeyedJob {
  return { job: JSON.parse(String(row['job'])) as Job, requestHash: String(row['request_hash']) }
}
