import { randomUUID } from 'node:crypto'
import type { Logger, TimeSource } from '@lockstep/runtime'
import { EVERYTHING, ZERO_STAMP } from '@lockstep/schemas'
import type { Lsn } from '@lockstep/schemas'
import type { JournalStore } from '../journal/store.ts'
import type { OrderOutcome, PurgeIntake } from '../ports.ts'
import type { Job, JobStore, PlannedPurge } from './jobs.ts'
import { planReplay } from './plan.ts'
import { Window } from './window.ts'

/** What a runner needs. */
export interface RunnerDeps {
  readonly jobs: JobStore
  readonly journal: Pick<JournalStore, 'read'>
  readonly intake: PurgeIntake
  readonly time: TimeSource
  readonly logger: Logger
  readonly options?: Partial<RunnerOptions> | undefined
}

/** Pace of a runner. */
export interface RunnerOptions {
  /** Purges of a job that may be under way: each ends after its rebound, so this over reboundMs is the greatest rate. */
  readonly maxOutstanding: number
  /** Pause between two notes of the progress; a pause or a cancellation is seen with the next. */
  readonly saveMs: number
  /** Pause between two looks for jobs that nobody works on. */
  readonly pollMs: number
  /** How long a job stays with a process that says nothing more. */
  readonly leaseMs: number
  /** Jobs at a time. */
  readonly maxJobs: number
}

const DEFAULTS: RunnerOptions = {
  // 10,000 keys/s with a rebound of 2 s; about 1 kB each.
  maxOutstanding: 20_000,
  saveMs: 250,
  pollMs: 1_000,
  leaseMs: 10_000,
  maxJobs: 4,
}

/** Works on the jobs of the store: those made here, those left by a process that died, and those resumed anywhere. */
export class JobRunner {
  readonly #deps: RunnerDeps
  readonly #options: RunnerOptions
  readonly #owner = randomUUID()
  readonly #stopping = new AbortController()
  readonly #working = new Map<string, Promise<void>>()
  #looking: Promise<void> = Promise.resolve()
  #wake = new AbortController()

  constructor(deps: RunnerDeps) {
    this.#deps = deps
    this.#options = { ...DEFAULTS, ...deps.options }
  }

  start(): void {
    this.#looking = this.#lookForEver()
  }

  /** Looks for jobs at once. */
  wake(): void {
    this.#wake.abort()
  }

  /** Notes where every job stands and lets it go. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake.abort()
    await this.#looking
    await Promise.all(this.#working.values())
  }

  async #lookForEver(): Promise<void> {
    const { time, logger } = this.#deps
    let isAway = false
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController()
      try {
        await this.#look()
        isAway = false
      } catch (error) {
        if (!isAway) logger.warn({ error }, 'jobs not read, trying again')
        isAway = true
      }
      if (!this.#stopping.signal.aborted)
        await time.sleep(this.#options.pollMs, this.#wake.signal).catch(() => undefined)
    }
  }

  async #look(): Promise<void> {
    const { jobs } = this.#deps
    const free = this.#options.maxJobs - this.#working.size
    if (free <= 0) return
    const running = await jobs.list({ states: ['running'], limit: 100 })
    const idle = running.toReversed().filter((job) => !this.#working.has(job.id) && this.#isFree(job))
    for (const { id } of idle.slice(0, free)) {
      const job = await jobs.update(id, (current) => (this.#isFree(current) ? this.#held(current) : null))
      if (job?.owner !== this.#owner || this.#stopping.signal.aborted) continue
      this.#working.set(
        id,
        this.#work(job).finally(() => {
          this.#working.delete(id)
          this.wake()
        }),
      )
    }
  }

  #isFree({ state, owner, leaseUntilMs = 0 }: Job): boolean {
    return state === 'running' && (owner === undefined || leaseUntilMs <= this.#deps.time.wallMs())
  }

  #held(job: Job): Job {
    return { ...job, owner: this.#owner, leaseUntilMs: this.#deps.time.wallMs() + this.#options.leaseMs }
  }

  async #work(job: Job): Promise<void> {
    const { logger } = this.#deps
    try {
      await this.#purge(job)
    } catch (error) {
      // A code of ours says that it can never succeed; anything else is tried again when the lease ends.
      const isFinal = (error as { disposition?: string }).disposition === 'poison'
      logger.warn({ error, job: job.id }, isFinal ? 'job failed' : 'job interrupted, trying again')
      await this.#letGo(job.id, isFinal ? String((error as Error).message) : undefined).catch(() => undefined)
    }
  }

  async #purge(job: Job): Promise<void> {
    const { intake, time } = this.#deps
    const plan = await planOf(this.#deps.journal, job)
    const left = plan.filter(({ tag }) => job.cursor === '' || tag > job.cursor)
    const window = new Window(left)
    const lane = job.kind === 'replay' ? 'replay' : 'manual'
    const replayOf = job.kind === 'replay' ? job.id : null
    let latest: Job | null = job
    let savedAtMs = time.nowMs()
    while (latest && latest.state === 'running' && latest.owner === this.#owner && !this.#stopping.signal.aborted) {
      for (const index of window.next(this.#options.maxOutstanding)) {
        const command = commandOf(job, left[index] as PlannedPurge)
        intake.submit(lane, { command, actor: job.actor, replayOf }).then(
          (outcome: OrderOutcome) => window.ended(index, outcome.kind === 'refused'),
          // The purger stops: what has not ended is submitted again by whoever works on the job next.
          () => this.#stopping.abort(),
        )
      }
      if (window.isDone) break
      await window.changed(time, Math.max(1, savedAtMs + this.#options.saveMs - time.nowMs()), this.#stopping.signal)
      if (time.nowMs() < savedAtMs + this.#options.saveMs) continue
      latest = await this.#save(job, window)
      savedAtMs = time.nowMs()
    }
    await this.#finish(job, window)
  }

  /** Notes the progress, which also keeps the job with this process; answers it as it is now. */
  async #save(job: Job, window: Window): Promise<Job | null> {
    return await this.#deps.jobs.update(job.id, (current) =>
      current.owner === this.#owner ? this.#held(progressOf(current, job, window)) : null,
    )
  }

  async #finish(job: Job, window: Window): Promise<void> {
    const finishedMs = Math.floor(this.#deps.time.wallMs())
    await this.#deps.jobs.update(job.id, (current) => {
      if (current.owner !== this.#owner) return null
      const { owner: _owner, leaseUntilMs: _lease, ...rest } = progressOf(current, job, window)
      return window.isDone && rest.state === 'running' ? { ...rest, state: 'completed', finishedMs } : rest
    })
  }

  async #letGo(id: string, failure: string | undefined): Promise<void> {
    const finishedMs = Math.floor(this.#deps.time.wallMs())
    await this.#deps.jobs.update(id, (current) => {
      if (current.owner !== this.#owner) return null
      if (failure !== undefined) return { ...current, state: 'failed', failure, finishedMs }
      // The lease runs out by itself, so that what fails at once is not tried without pause.
      return null
    })
  }
}

/** What a job has to purge, in string order. */
async function planOf(journal: Pick<JournalStore, 'read'>, job: Job): Promise<PlannedPurge[]> {
  if (job.selection) return await planReplay(journal, job.selection)
  const tags = job.tags?.includes(EVERYTHING) ? [EVERYTHING] : [...new Set(job.tags)].toSorted()
  const commitTimeUs = BigInt(job.createdMs) * 1_000n
  // Whatever is newer wins where the same tag waits already: an order says when, not since when.
  return tags.map((tag) => ({ tag, stamp: ZERO_STAMP, commitLsn: 0n, commitTimeUs }))
}

function commandOf(job: Job, { tag, stamp, commitLsn, commitTimeUs }: PlannedPurge) {
  const id = `${job.id}/${tag}`
  return {
    kind: 'purge' as const,
    id,
    tag,
    stamp,
    commitLsn: commitLsn as Lsn,
    commitTimeUs,
    busId: '',
    reason: job.reason,
  }
}

function progressOf(current: Job, began: Job, window: Window): Job {
  const { cursor, done, refused } = window.progress
  return {
    ...current,
    cursor: cursor === '' ? began.cursor : cursor,
    done: began.done + done,
    refused: began.refused + refused,
  }
}
