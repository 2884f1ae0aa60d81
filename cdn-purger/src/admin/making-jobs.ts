import { hashOf } from './confirm.ts'
import type { AdminDeps } from './deps.ts'
import { refuse } from './errors.ts'
import type { IdempotencyKey, Job } from './jobs.ts'
import { presentJob } from './present.ts'
import type { Answer, Call } from './route.ts'

/** Names the request of a call, if it came with a key. */
export function keyOf(call: Call, operation: string): IdempotencyKey | null {
  const { idempotencyKey, principal, body } = call
  if (idempotencyKey === undefined) return null
  return { actor: principal.name, key: idempotencyKey, requestHash: hashOf([operation, body]) }
}

/** The job that the same request made before; null when it is new. @throws LOCKSTEP_CDN_IDEMPOTENCY_REUSED. */
export async function madeBefore(deps: AdminDeps, key: IdempotencyKey | null): Promise<Answer | null> {
  const found = key && (await deps.jobs.find({ actor: key.actor, key: key.key }))
  if (!found) return null
  if (found.requestHash !== key.requestHash) throw refuse('LOCKSTEP_CDN_IDEMPOTENCY_REUSED')
  return answerOf(found.job, 200)
}

/** Stores a job and has it begun; of two requests with one key that race, one makes it. */
export async function makeJob(deps: AdminDeps, job: Job, key: IdempotencyKey | null): Promise<Answer> {
  const stored = await deps.jobs.create(job, key)
  if (key && stored.requestHash !== key.requestHash) throw refuse('LOCKSTEP_CDN_IDEMPOTENCY_REUSED')
  deps.wake()
  return answerOf(stored.job, stored.job.id === job.id ? 202 : 200)
}

/** A job as an answer. */
export function answerOf(job: Job, status: number): Answer {
  const path = job.kind === 'replay' ? 'replays' : 'purges'
  return { status, body: presentJob(job), headers: { location: `/v1/${path}/${job.id}` } }
}

/** What every new job begins with. */
export function newJob(
  deps: AdminDeps,
  call: Call,
  fields: Pick<Job, 'kind' | 'reason' | 'total'> & Partial<Job>,
): Job {
  return {
    id: deps.newId(),
    state: 'running',
    actor: call.principal.name,
    createdMs: Math.floor(deps.time.wallMs()),
    done: 0,
    refused: 0,
    cursor: '',
    ...fields,
  }
}

/** Finds a job of one kind. @throws LOCKSTEP_CDN_NOT_FOUND. */
export async function jobOf(deps: AdminDeps, kind: Job['kind'], id: string): Promise<Job> {
  const found = await deps.jobs.find({ id })
  if (found?.job.kind !== kind) throw refuse('LOCKSTEP_CDN_NOT_FOUND')
  return found.job
}

/** Moves a job from one of some states to another; does nothing where it is there already. @throws LOCKSTEP_CDN_WRONG_STATE. */
export async function moveJob(
  deps: AdminDeps,
  job: Job,
  { from, to }: { readonly from: readonly Job['state'][]; readonly to: Job['state'] },
): Promise<Answer> {
  const changed = await deps.jobs.update(job.id, (current) => {
    if (current.state === to) return null
    if (!from.includes(current.state)) {
      const { kind, state } = current
      throw refuse('LOCKSTEP_CDN_WRONG_STATE', { kind, state })
    }
    const finished = to === 'cancelled' ? { finishedMs: Math.floor(deps.time.wallMs()) } : {}
    return { ...current, ...finished, state: to }
  })
  if (!changed) throw refuse('LOCKSTEP_CDN_NOT_FOUND')
  deps.wake()
  return answerOf(changed, 200)
}
