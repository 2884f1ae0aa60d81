import type { Stamp, Tag } from '@lockstep/schemas'

/** What a replay selects; all conditions must hold. Times are ms since the Unix epoch, positions decimal. */
export interface Selection {
  readonly fromMs: number
  readonly toMs: number
  readonly fromLsn?: string | undefined
  readonly toLsn?: string | undefined
  readonly tags?: readonly Tag[] | undefined
  readonly prefix?: string | undefined
  readonly tagClass?: string | undefined
  readonly batch?: string | undefined
  /** Only purges that a provider refused and nobody purged since. */
  readonly deadLetters?: boolean | undefined
}

/** How far a job is. `awaiting-confirmation` until a second person confirms; the last three are final. */
export const JOB_STATES = ['awaiting-confirmation', 'running', 'paused', 'completed', 'cancelled', 'failed'] as const
/** One of `JOB_STATES`. */
export type JobState = (typeof JOB_STATES)[number]

/** A replay or a manual purge: durable work that goes on after a restart where it was. */
export interface Job {
  readonly id: string
  readonly kind: 'replay' | 'purge'
  readonly state: JobState
  readonly actor: string
  readonly reason: string
  readonly createdMs: number
  /** Of a replay. */
  readonly selection?: Selection | undefined
  /** Of a purge: tags, class tags or `*`. */
  readonly tags?: readonly Tag[] | undefined
  /** Distinct keys to purge. */
  readonly total: number
  /** Purged everywhere. */
  readonly done: number
  /** Refused by a provider for good; dead letters now. */
  readonly refused: number
  /** Every key up to this one, in string order, has ended; '' before the first. */
  readonly cursor: string
  /** Who confirmed a purge of everything. */
  readonly confirmedBy?: string | undefined
  readonly failure?: string | undefined
  readonly finishedMs?: number | undefined
  /** The process that works on it, and until when others leave it alone (ms since the Unix epoch). */
  readonly owner?: string | undefined
  readonly leaseUntilMs?: number | undefined
}

/** One purge of a job. */
export interface PlannedPurge {
  readonly tag: Tag
  readonly stamp: Stamp
  readonly commitLsn: bigint
  readonly commitTimeUs: bigint
}

/** How a caller names a request, so that sending it again does nothing more. */
export interface IdempotencyKey {
  readonly actor: string
  readonly key: string
  /** Of method, address and body. */
  readonly requestHash: string
}

/** A job, and the request that made it. */
export interface KeyedJob {
  readonly job: Job
  readonly requestHash: string
}

/** Keeps jobs. All methods reject when the store is away; nothing happened then, except that `create` may have. */
export interface JobStore {
  /** Stores a new job; answers the one that the same key made before, if there is one. */
  create(job: Job, key: IdempotencyKey | null): Promise<KeyedJob>
  /** Answers null for an unknown id or key. */
  find(by: { readonly id: string } | { readonly actor: string; readonly key: string }): Promise<KeyedJob | null>
  /** Newest first. */
  list(query: JobListQuery): Promise<readonly Job[]>
  /** Changes a job in one step; `change` may run more than once, and null leaves the job alone. Null when unknown. */
  update(id: string, change: (job: Job) => Job | null): Promise<Job | null>
  /** Forgets jobs made before `beforeMs`, and their keys, except those that still run or are paused. */
  prune(beforeMs: number): Promise<void>
}

/** Which jobs to list. */
export interface JobListQuery {
  readonly kind?: Job['kind'] | undefined
  readonly states?: readonly JobState[] | undefined
  /** Only those older than this one. */
  readonly before?: Pick<Job, 'id' | 'createdMs'> | undefined
  readonly limit: number
}

/** Tells whether nothing more will happen. */
export function isFinal(state: JobState): boolean {
  return state === 'completed' || state === 'cancelled' || state === 'failed'
}
