import { classTag, EVERYTHING } from '@lockstep/schemas'
import type { Tag } from '@lockstep/schemas'
import { includesRole } from '../auth.ts'
import type { AdminDeps } from '../deps.ts'
import { refuse } from '../errors.ts'
import type { JournalRecord } from '../../journal/store.ts'
import type { Job } from '../jobs.ts'
import { answerOf, jobOf, keyOf, madeBefore, makeJob, moveJob, newJob } from '../making-jobs.ts'
import { presentJob, presentRecord, tagsOf } from '../present.ts'
import { route, type AdminRoute } from '../route.ts'
import { IdParams, JobOutput, PurgeInput, PurgeOutput } from '../schemas.ts'
import { listJobsRoute } from './replays.ts'

/** How long a second person has. */
const CONFIRM_MS = 15 * 60_000
// Live and rebound at a handful of providers, of the most tags a purge may have, need more; the journal has them all.
const MAX_RECORDS = 1_000

/** Purges that an operator asks for. */
export function purgeRoutes(deps: AdminDeps): AdminRoute[] {
  return [
    makeRoute(deps),
    listJobsRoute(deps, { kind: 'purge', path: '/v1/purges', operationId: 'listPurges' }),
    getRoute(deps),
    confirmRoute(deps),
    cancelRoute(deps),
  ]
}

function makeRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'POST',
    path: '/v1/purges',
    operationId: 'createPurge',
    summary: 'Purges tags or a class; everything, once a second administrator has confirmed it',
    role: 'operator',
    body: PurgeInput,
    isIdempotent: true,
    answers: {
      200: { description: 'The purge that the same request made before', schema: JobOutput },
      202: { description: 'The purge has begun, or waits for its confirmation', schema: JobOutput },
    },
    refusals: ['LOCKSTEP_CDN_BAD_TAG', 'LOCKSTEP_CDN_IDEMPOTENCY_REUSED'],
    async handle(call) {
      const { body, principal } = call
      const tags = tagsOfInput(body)
      const isEverything = tags[0] === EVERYTHING
      if (isEverything && !includesRole(principal.role, 'admin'))
        throw refuse('LOCKSTEP_CDN_FORBIDDEN', { needed: 'admin' })
      const key = keyOf(call, 'purge')
      const state = isEverything ? 'awaiting-confirmation' : 'running'
      const job = newJob(deps, call, { kind: 'purge', state, reason: body.reason, tags, total: tags.length })
      return (await madeBefore(deps, key)) ?? (await makeJob(deps, job, key))
    },
  })
}

function tagsOfInput(body: PurgeInput): Tag[] {
  if ('tags' in body) return [...new Set(tagsOf(body.tags))]
  return 'class' in body ? tagsOf([classTag(body.class)]) : [EVERYTHING]
}

function getRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'GET',
    path: '/v1/purges/{id}',
    operationId: 'getPurge',
    summary: 'One purge, and what the journal holds of it',
    role: 'viewer',
    params: IdParams,
    answers: { 200: { description: 'The purge', schema: PurgeOutput } },
    refusals: ['LOCKSTEP_CDN_NOT_FOUND'],
    async handle({ params: { id } }) {
      const job = await jobOf(deps, 'purge', id)
      const journal = (await recordsOf(deps, job)).map(presentRecord)
      return { status: 200, body: { ...presentJob(job), journal } }
    },
  })
}

async function recordsOf(deps: AdminDeps, job: Job): Promise<JournalRecord[]> {
  const found: JournalRecord[] = []
  // By its own clock: an entry of the first moment may have been noted by another process.
  const fromMs = job.createdMs - 60_000
  const tag = job.tags?.length === 1 ? job.tags[0] : undefined
  for await (const record of deps.journal.read({ fromMs, lane: 'manual', tag })) {
    if (record.id.startsWith(`${job.id}/`) && found.push(record) === MAX_RECORDS) break
  }
  return found
}

function confirmRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'POST',
    path: '/v1/purges/{id}/confirm',
    operationId: 'confirmPurge',
    summary: 'Confirms a purge of everything that another administrator asked for',
    role: 'admin',
    params: IdParams,
    answers: { 200: { description: 'The purge has begun', schema: JobOutput } },
    refusals: ['LOCKSTEP_CDN_NOT_FOUND', 'LOCKSTEP_CDN_WRONG_STATE', 'LOCKSTEP_CDN_SECOND_PERSON'],
    async handle({ params: { id }, principal }) {
      const job = await jobOf(deps, 'purge', id)
      if (job.actor === principal.name) throw refuse('LOCKSTEP_CDN_SECOND_PERSON')
      const isLate = deps.time.wallMs() > job.createdMs + CONFIRM_MS
      const changed = await deps.jobs.update(id, (current) => {
        const { kind } = current
        if (current.state !== 'awaiting-confirmation' || isLate)
          throw refuse('LOCKSTEP_CDN_WRONG_STATE', { kind, state: isLate ? 'too old to be confirmed' : current.state })
        return { ...current, state: 'running', confirmedBy: principal.name }
      })
      deps.wake()
      return answerOf(changed ?? job, 200)
    },
  })
}

function cancelRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'POST',
    path: '/v1/purges/{id}/cancel',
    operationId: 'cancelPurge',
    summary: 'Ends a purge; what was purged stays purged',
    role: 'operator',
    params: IdParams,
    answers: { 200: { description: 'The purge as it is now', schema: JobOutput } },
    refusals: ['LOCKSTEP_CDN_NOT_FOUND', 'LOCKSTEP_CDN_WRONG_STATE'],
    async handle({ params: { id } }) {
      const job = await jobOf(deps, 'purge', id)
      return await moveJob(deps, job, { from: ['awaiting-confirmation', 'running'], to: 'cancelled' })
    },
  })
}
