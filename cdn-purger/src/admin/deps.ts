import type { TimeSource } from '@lockstep/runtime'
import type { Tag } from '@lockstep/schemas'
import type { JournalStore } from '../journal/store.ts'
import type { AuditLog } from './audit.ts'
import type { ConfirmTokens } from './confirm.ts'
import type { JobStore } from './jobs.ts'
import type { ProviderOutput, VerdictOutput } from './schemas.ts'

/** What the routes need. */
export interface AdminDeps {
  readonly journal: Pick<JournalStore, 'read'>
  readonly jobs: JobStore
  readonly audit: AuditLog
  readonly confirm: ConfirmTokens
  readonly time: TimeSource
  readonly newId: () => string
  /** Has the runner look for jobs at once. */
  readonly wake: () => void
  readonly providers: () => readonly ProviderOutput[]
  /** Reads a URL through each tier. */
  readonly verify: (path: string, tags: readonly Tag[], signal: AbortSignal) => Promise<readonly VerdictOutput[]>
  readonly options: AdminOptions
}

/** Bounds of the API. */
export interface AdminOptions {
  readonly reboundMs: number
  /** A replay of more keys needs the token of a dry run. */
  readonly confirmAboveKeys: number
  /** How far back the journal goes; a range that begins before it begins there. */
  readonly retentionMs: number
}
