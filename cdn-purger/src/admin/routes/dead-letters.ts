import type { JournalRecord } from '../../journal/store.ts'
import type { AdminDeps } from '../deps.ts'
import { cursorOf, isPosition, parseCursor, presentRecord, tagsOf } from '../present.ts'
import { route, type AdminRoute } from '../route.ts'
import { DeadLetterOutput, JobOutput, pageOf, PageQuery, RedriveInput } from '../schemas.ts'
import { take } from './journal.ts'
import { makeReplay } from './replays.ts'

const PAGE = 100

/** Purges that a provider refused for good. */
export function deadLetterRoutes(deps: AdminDeps): AdminRoute[] {
  return [listRoute(deps), redriveRoute(deps)]
}

function listRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'GET',
    path: '/v1/dead-letters',
    operationId: 'listDeadLetters',
    summary: 'Purges that a provider refused for good, newest first',
    role: 'viewer',
    query: PageQuery,
    answers: { 200: { description: 'A page of them', schema: pageOf(DeadLetterOutput) } },
    async handle({ query: { limit = PAGE, cursor } }) {
      const after = parseCursor(cursor, isPosition)
      const letters = await take(deps.journal.read({ state: 'dead-lettered', newestFirst: true, after }), limit)
      const items = []
      for (const letter of letters)
        items.push({ ...presentRecord(letter), isPurgedSince: await isPurgedSince(deps, letter) })
      const last = letters.at(-1)
      return { status: 200, body: { items, next: last && letters.length === limit ? cursorOf(last.position) : null } }
    },
  })
}

async function isPurgedSince(deps: AdminDeps, { tag, provider, position: after }: JournalRecord): Promise<boolean> {
  const [acked] = await take(deps.journal.read({ tag, provider, state: 'acked', after }), 1)
  return acked !== undefined
}

function redriveRoute(deps: AdminDeps): AdminRoute {
  return route({
    method: 'POST',
    path: '/v1/dead-letters',
    operationId: 'redriveDeadLetters',
    summary: 'Purges dead letters again, as a replay: all that nobody purged since, or those of some tags',
    role: 'operator',
    body: RedriveInput,
    isIdempotent: true,
    answers: {
      200: { description: 'The replay that the same request made before', schema: JobOutput },
      202: { description: 'The replay has begun', schema: JobOutput },
    },
    refusals: [
      'LOCKSTEP_CDN_IDEMPOTENCY_KEY_REQUIRED',
      'LOCKSTEP_CDN_BAD_TAG',
      'LOCKSTEP_CDN_EMPTY_SELECTION',
      'LOCKSTEP_CDN_SELECTION_TOO_LARGE',
      'LOCKSTEP_CDN_IDEMPOTENCY_REUSED',
      'LOCKSTEP_CDN_CONFIRM_REQUIRED',
    ],
    async handle(call) {
      const { tags, reason } = call.body
      const toMs = Math.floor(deps.time.wallMs())
      const fromMs = toMs - deps.options.retentionMs
      const selection = { fromMs, toMs, tags: tags && tagsOf(tags), deadLetters: true }
      return await makeReplay(deps, call, { selection, reason, asked: { tags, deadLetters: true } })
    },
  })
}
