import type { ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'

const text = (env: `LOCKSTEP_${string}`, desc: string) => ({ env, type: Type.String(), default: '', desc })
const list = (env: `LOCKSTEP_${string}`, desc: string) => ({
  env,
  type: Type.Array(Type.String({ minLength: 1 })),
  default: [],
  desc,
})

/** A switch that is off. */
export const off = (env: `LOCKSTEP_${string}`, desc: string) => ({ env, type: Type.Boolean(), default: false, desc })
/** An option that is a text, empty for none. */
export const textOption = text

/** Options of every command that talks to the admin API. */
export const API_CLIENT_OPTIONS = {
  url: {
    env: 'LOCKSTEP_PURGER_API_URL',
    type: Type.String({ pattern: '^https?://' }),
    default: 'http://127.0.0.1:9413',
    desc: 'Admin API of a purger.',
  },
  token: {
    env: 'LOCKSTEP_PURGER_API_TOKEN',
    type: Type.String(),
    default: '',
    secret: true,
    desc: 'Bearer token for it.',
  },
  json: off('LOCKSTEP_PURGER_API_JSON', 'Print what the API answers, one JSON document a line.'),
} as const satisfies ConfigTable

/** Options that select a part of the journal. */
export const SELECTION_OPTIONS = {
  since: {
    env: 'LOCKSTEP_SELECT_SINCE',
    type: Type.String({ pattern: '^$|^[0-9]+(s|m|h|d)$' }),
    default: '',
    desc: 'How far back, as 30m or 2h; instead of --from.',
  },
  from: text('LOCKSTEP_SELECT_FROM', 'Begin of the range, RFC 3339.'),
  to: text('LOCKSTEP_SELECT_TO', 'End of the range, RFC 3339; empty for now.'),
  fromLsn: text('LOCKSTEP_SELECT_FROM_LSN', 'First commit, as Postgres writes positions.'),
  toLsn: text('LOCKSTEP_SELECT_TO_LSN', 'Last commit.'),
  prefix: text('LOCKSTEP_SELECT_PREFIX', 'Beginning of the tags.'),
  class: text('LOCKSTEP_SELECT_CLASS', 'Part of the tags before their first colon.'),
  batch: text('LOCKSTEP_SELECT_BATCH', 'One purge request, as the journal names it.'),
} as const satisfies ConfigTable

/** Tags, separated by commas. */
export const TAGS_OPTION = list('LOCKSTEP_SELECT_TAGS', 'Tags, separated by commas.')

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

interface Selected {
  readonly since: string
  readonly from: string
  readonly to: string
  readonly fromLsn: string
  readonly toLsn: string
  readonly prefix: string
  readonly class: string
  readonly batch: string
}

/** The conditions that were given, as the API names them. */
export function selectionOf(options: Selected, nowMs: number): Record<string, string> {
  const { since, from, to, fromLsn, toLsn, prefix, class: tagClass, batch } = options
  const backMs = Number.parseInt(since, 10) * (UNIT_MS[since.slice(-1)] ?? Number.NaN)
  const begin = since === '' ? from : new Date(nowMs - backMs).toISOString()
  const given = { from: begin, to, fromLsn, toLsn, prefix, class: tagClass, batch }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
}
