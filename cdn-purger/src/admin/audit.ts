import { once, SCHEMA_LOCK } from '../journal/sql.ts'
import type { SqlDatabase } from '../journal/sql.ts'
import type { Role } from './auth.ts'

/** One line of the audit log. A call that changes something has two: before it is done, and with its status. */
export interface AuditLine {
  readonly atMs: number
  readonly requestId: string
  readonly actor: string
  readonly role: Role
  readonly method: string
  readonly path: string
  /** SHA-256 of the body, hex; '' without one. Bodies may be long, and the jobs keep what matters. */
  readonly bodyHash: string
  /** Null before the call was done. */
  readonly status: number | null
}

/** Keeps who did what. Nothing in it is ever changed, and nothing removed but by age. */
export interface AuditLog {
  /** Rejects when the line is not durable; then the call is not done. */
  record(line: AuditLine): Promise<void>
  /** The newest lines first. */
  read(limit: number): Promise<readonly AuditLine[]>
  /** Forgets lines from before `beforeMs`. */
  prune(beforeMs: number): Promise<void>
}

const CREATE = [
  `CREATE TABLE IF NOT EXISTS purge_audit (at_ms bigint NOT NULL, request_id text NOT NULL, actor text NOT NULL,
  role text NOT NULL, method text NOT NULL, path text NOT NULL, body_hash text NOT NULL, status integer)`,
  'CREATE INDEX IF NOT EXISTS purge_audit_at ON purge_audit (at_ms)',
]

/** The audit log in a database. */
export function createAuditLog(database: SqlDatabase): AuditLog {
  const lock = database.kind === 'postgres' ? [SCHEMA_LOCK] : []
  const ready = once(async () => database.transact([...lock, ...CREATE].map((text) => [text])))
  return {
    async record(line) {
      await ready()
      const { atMs, requestId, actor, role, method, path, bodyHash, status } = line
      await database.query('INSERT INTO purge_audit VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', [
        Math.floor(atMs),
        requestId,
        actor,
        role,
        method,
        path,
        bodyHash,
        status,
      ])
    },
    async prune(beforeMs) {
      await ready()
      await database.query('DELETE FROM purge_audit WHERE at_ms < $1', [Math.floor(beforeMs)])
    },
    async read(limit) {
      await ready()
      const rows = await database.query('SELECT * FROM purge_audit ORDER BY at_ms DESC LIMIT $1', [limit])
      return rows.map((row) => ({
        atMs: Number(row['at_ms']),
        requestId: String(row['request_id']),
        actor: String(row['actor']),
        role: String(row['role']) as Role,
        method: String(row['method']),
        path: String(row['path']),
        bodyHash: String(row['body_hash']),
        status: row['status'] === null ? null : Number(row['status']),
      }))
    },
  }
}
