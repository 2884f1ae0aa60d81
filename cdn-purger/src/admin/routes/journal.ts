import type { JournalQuery, JournalRecord } from '../../journal/store.ts'
import type { AdminDeps } from '../deps.ts'
import { cursorOf, isPosition, parseCursor, presentRecord, rangeOf, tagsOf } from '../present.ts'
import { route, type AdminRoute } from '../route.ts'
import { JournalQueryInput, pageOf, RecordOutput } from '../schemas.ts'

const PAGE = 100
const NDJSON = 'application/x-ndjson'
// Lines that are sent in one piece.
const CHUNK = 200

/** The journal, by page or as one stream. */
export function journalRoutes(deps: AdminDeps): AdminRoute[] {
  return [
    route({
      method: 'GET',
      path: '/v1/journal',
      operationId: 'readJournal',
      summary:
        'What happened to purges, newest first; everything that fits, oldest first, with Accept: application/x-ndjson',
      role: 'viewer',
      query: JournalQueryInput,
      answers: {
        200: {
          description: 'A page of lines, or all of them as NDJSON',
          schema: pageOf(RecordOutput),
          streams: { [NDJSON]: RecordOutput },
        },
      },
      refusals: ['LOCKSTEP_CDN_BAD_RANGE', 'LOCKSTEP_CDN_BAD_TAG'],
      async handle({ query, accept, signal }) {
        const isStream = accept.includes(NDJSON)
        const asked = queryOf(query, isStream ? 'oldest' : 'newest')
        if (isStream) {
          const max = query.limit ?? Number.POSITIVE_INFINITY
          return { status: 200, type: NDJSON, body: linesOf(deps.journal.read(asked), max, signal) }
        }
        const { limit = PAGE } = query
        const records = await take(deps.journal.read(asked), limit)
        const last = records.at(-1)
        const next = last && records.length === limit ? cursorOf(last.position) : null
        return { status: 200, body: { items: records.map(presentRecord), next } }
      },
    }),
  ]
}

function queryOf(input: JournalQueryInput, order: 'newest' | 'oldest'): JournalQuery {
  const { tag, class: tagClass, cursor, prefix, batch, provider, state, phase, lane, replayOf } = input
  return {
    ...rangeOf(input),
    tagClass,
    prefix,
    batch,
    provider,
    state,
    phase,
    lane,
    replayOf,
    // `*` names purges of everything here.
    tag: tag === '*' ? ('*' as JournalQuery['tag']) : tag === undefined ? undefined : tagsOf([tag])[0],
    newestFirst: (input.order ?? order) === 'newest',
    after: parseCursor(cursor, isPosition),
  }
}

/** The first so many. */
export async function take(records: AsyncIterable<JournalRecord>, limit: number): Promise<JournalRecord[]> {
  const taken: JournalRecord[] = []
  for await (const record of records) if (taken.push(record) === limit) break
  return taken
}

async function* linesOf(
  records: AsyncIterable<JournalRecord>,
  max: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let lines = ''
  let count = 0
  for await (const record of records) {
    if (signal.aborted) return
    lines += `${JSON.stringify(presentRecord(record))}\n`
    count += 1
    if (count % CHUNK === 0) {
      yield lines
      lines = ''
    }
    if (count === max) break
  }
  yield lines
}
