import { EVERYTHING } from '@lockstep/schemas'
import { hashOf } from '../confirm.ts'
import type { AdminDeps } from '../deps.ts'
import { refuse } from '../errors.ts'
import { estimate } from '../estimate.ts'
import { isFinal, type PlannedPurge, type Selection } from '../jobs.ts'
import { answerOf, jobOf, keyOf, madeBefore, makeJob, moveJob, newJob } from '../making-jobs.ts'
import { planReplay } from '../plan.ts'
import { cursorOf, isJobPlace, parseCursor, presentJob, presentSelection, rangeOf, tagsOf } from '../present.ts'
import { route, type AdminRoute, type Answer, type Call } from '../route.ts'
import { EstimateOutput, IdParams, JobOutput, pageOf, PageQuery, ReplayInput, type SelectionInput } from '../schemas.ts'
import { includesRole } from '../auth.ts'

const PAGE = 100
const EVENT_MS = 500

/** Replays: making, watching and steering them. */
export function replayRoutes(deps: AdminDeps): AdminRoute[] {
  return [makeRoute(deps), listRoute(deps), getRoute(deps), eventsRoute(deps), ...steeringRoutes(deps)]
}

function makeRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'POST',
    path: '/v1/replays',
    operationId: 'createReplay',
    summary: 'Purges again what the journal holds of a range, or answers what that would cost',
    role: 'operator',
    body: ReplayInput,
    isIdempotent: true,
    answers: {
      200: {
        description: 'The estimate of a dry run, or the replay that the same request made before',
        schema: ANSWER,
      },
      202: { description: 'The replay has begun', schema: JobOutput },
    },
    refusals: [
      'LOCKSTEP_CDN_IDEMPOTENCY_KEY_REQUIRED',
      'LOCKSTEP_CDN_BAD_TAG',
      'LOCKSTEP_CDN_BAD_RANGE',
      'LOCKSTEP_CDN_EMPTY_SELECTION',
      'LOCKSTEP_CDN_SELECTION_TOO_LARGE',
      'LOCKSTEP_CDN_IDEMPOTENCY_REUSED',
      'LOCKSTEP_CDN_CONFIRM_INVALID',
      'LOCKSTEP_CDN_CONFIRM_REQUIRED',
    ],
    async handle(call) {
      const { selection: asked, reason, dryRun, confirmToken } = call.body
      const selection = selectionOf(deps, asked)
      if (dryRun) return await dryRunOf(deps, call, { selection, request: hashOf(asked) })
      const { confirmToken: _, ...request } = call.body
      return await makeReplay(deps, { ...call, body: request }, { selection, reason, confirmToken, asked })
    },
  })
}

const ANSWER = { anyOf: [EstimateOutput, JobOutput] } as unknown as typeof EstimateOutput

interface Asked {
  readonly selection: Selection
  readonly reason: string
  readonly confirmToken?: string | undefined
  /** The selection as it was asked for: what a confirm token is bound to. */
  readonly asked: object
}

/** Makes a replay, once per key. @throws the refusals of `POST /v1/replays`. */
export async function makeReplay(deps: AdminDeps, call: Call, asked: Asked): Promise<Answer> {
  const key = keyOf(call, 'replay')
  if (!key) throw refuse('LOCKSTEP_CDN_IDEMPOTENCY_KEY_REQUIRED')
  const before = await madeBefore(deps, key)
  if (before) return before
  const plan = await planFor(deps, call, asked.selection)
  const { confirmAboveKeys: limit } = deps.options
  const keys = plan.length
  const request = hashOf(asked.asked)
  if (asked.confirmToken !== undefined) {
    if (!deps.confirm.accepts(asked.confirmToken, { actor: call.principal.name, request, keys }))
      throw refuse('LOCKSTEP_CDN_CONFIRM_INVALID')
  } else if (keys > limit || plan[0]?.tag === EVERYTHING) throw refuse('LOCKSTEP_CDN_CONFIRM_REQUIRED', { keys, limit })
  const { selection, reason } = asked
  return await makeJob(deps, newJob(deps, call, { kind: 'replay', reason, selection, total: keys }), key)
}

async function dryRunOf(
  deps: AdminDeps,
  call: Call,
  { selection, request }: { readonly selection: Selection; readonly request: string },
): Promise<Answer> {
  const plan = await planFor(deps, call, selection)
  const cost = estimate(plan, deps.providers(), deps.options.reboundMs)
  const { token, expiresMs } = deps.confirm.issue({ actor: call.principal.name, request, keys: plan.length })
  return {
    status: 200,
    body: {
      ...cost,
      selection: presentSelection(selection),
      confirmToken: token,
      confirmBefore: new Date(expiresMs).toISOString(),
    },
  }
}

async function planFor(deps: AdminDeps, call: Call, selection: Selection): Promise<PlannedPurge[]> {
  const plan = await planReplay(deps.journal, selection)
  if (plan.length === 0) throw refuse('LOCKSTEP_CDN_EMPTY_SELECTION')
  // A flush lies in the range, so the whole edge would go.
  if (plan[0]?.tag === EVERYTHING && !includesRole(call.principal.role, 'admin'))
    throw refuse('LOCKSTEP_CDN_FORBIDDEN', { needed: 'admin' })
  return plan
}

function selectionOf(deps: AdminDeps, asked: SelectionInput): Selection {
  const nowMs = Math.floor(deps.time.wallMs())
  const { fromMs = nowMs - deps.options.retentionMs, toMs = nowMs, fromLsn, toLsn } = rangeOf(asked)
  if (fromMs >= nowMs) throw refuse('LOCKSTEP_CDN_BAD_RANGE', { detail: 'it begins in the future' })
  if (fromMs >= toMs) throw refuse('LOCKSTEP_CDN_BAD_RANGE', { detail: 'it ends before the journal begins' })
  const { tags, prefix, class: tagClass, batch, deadLetters } = asked
  return {
    fromMs,
    // What is journaled from now on was purged after the replay was asked for.
    toMs: Math.min(toMs, nowMs),
    fromLsn: fromLsn?.toString(),
    toLsn: toLsn?.toString(),
    tags: tags && tagsOf(tags),
    prefix,
    tagClass,
    batch,
    deadLetters,
  }
}

function listRoute(deps: AdminDeps): AdminRoute {
  return listJobsRoute(deps, { kind: 'replay', path: '/v1/replays', operationId: 'listReplays' })
}

/** The list of the jobs of one kind, newest first. */
export function listJobsRoute(
  deps: AdminDeps,
  { kind, path, operationId }: { kind: 'replay' | 'purge'; path: string; operationId: string },
): AdminRoute {
  return route({
    method: 'GET',
    path,
    operationId,
    summary: `The ${kind}s, newest first`,
    role: 'viewer',
    query: PageQuery,
    answers: { 200: { description: 'A page of them', schema: pageOf(JobOutput) } },
    async handle({ query: { limit = PAGE, cursor } }) {
      const jobs = await deps.jobs.list({ kind, before: parseCursor(cursor, isJobPlace), limit })
      const last = jobs.at(-1)
      const next = last && jobs.length === limit ? cursorOf({ id: last.id, createdMs: last.createdMs }) : null
      return { status: 200, body: { items: jobs.map(presentJob), next } }
    },
  })
}

function getRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'GET',
    path: '/v1/replays/{id}',
    operationId: 'getReplay',
    summary: 'One replay and its progress',
    role: 'viewer',
    params: IdParams,
    answers: { 200: { description: 'The replay', schema: JobOutput } },
    refusals: ['LOCKSTEP_CDN_NOT_FOUND'],
    handle: async ({ params: { id } }) => answerOf(await jobOf(deps, 'replay', id), 200),
  })
}

function eventsRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'GET',
    path: '/v1/replays/{id}/events',
    operationId: 'watchReplay',
    summary: 'The progress of a replay as server-sent events, until it ends',
    role: 'viewer',
    params: IdParams,
    answers: { 200: { description: 'One event per change', streams: { 'text/event-stream': JobOutput } } },
    refusals: ['LOCKSTEP_CDN_NOT_FOUND'],
    async handle({ params: { id }, signal }) {
      await jobOf(deps, 'replay', id)
      return { status: 200, type: 'text/event-stream', body: eventsOf(deps, id, signal) }
    },
  })
}

async function* eventsOf(deps: AdminDeps, id: string, signal: AbortSignal): AsyncGenerator<string> {
  let said = ''
  while (!signal.aborted) {
    const found = await deps.jobs.find({ id })
    if (!found) return
    const data = JSON.stringify(presentJob(found.job))
    // A comment keeps proxies from closing a connection on which nothing changes.
    yield data === said ? ':\n\n' : `event: progress\ndata: ${data}\n\n`
    said = data
    if (isFinal(found.job.state)) return
    await deps.time.sleep(EVENT_MS, signal).catch(() => undefined)
  }
}

function steeringRoutes(deps: AdminDeps): AdminRoute[] {
  const moves = [
    ['pause', 'running', 'paused', 'Stops sending; what is under way ends'],
    ['resume', 'paused', 'running', 'Goes on where it was'],
    ['cancel', 'running', 'cancelled', 'Ends it for good; what was purged stays purged'],
  ] as const
  return moves.map(([verb, from, to, summary]) =>
    route({
      method: 'POST',
      path: `/v1/replays/{id}/${verb}`,
      operationId: `${verb}Replay`,
      summary,
      role: 'operator',
      params: IdParams,
      answers: { 200: { description: 'The replay as it is now', schema: JobOutput } },
      refusals: ['LOCKSTEP_CDN_NOT_FOUND', 'LOCKSTEP_CDN_WRONG_STATE'],
      async handle({ params: { id } }) {
        const job = await jobOf(deps, 'replay', id)
        return await moveJob(deps, job, { from: to === 'cancelled' ? ['running', 'paused'] : [from], to })
      },
    }),
  )
}
