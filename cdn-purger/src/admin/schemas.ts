import { Type, type Static, type TSchema } from 'typebox'
import { JOURNAL_STATES } from '../journal/port.ts'
import { JOB_STATES } from './jobs.ts'

/** A closed object: what it does not name is refused, so that a misspelt condition never widens a selection. */
const closed = <P extends Record<string, TSchema>>(properties: P, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })
const oneOf = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values] })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const Time = Type.String({ format: 'date-time', maxLength: 40, description: 'RFC 3339.' })
const LsnText = Type.String({ pattern: '^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$', description: 'As Postgres writes it.' })
// What is text elsewhere may not hold what no database keeps.
const TagText = Type.String({ minLength: 1, maxLength: 512, description: '`class:rest`, without control characters.' })
const Tags = Type.Array(TagText, { minItems: 1, maxItems: 1_000, uniqueItems: true })
const ClassName = Type.String({
  pattern: '^[^:*\\x00-\\x1f\\x7f-\\x9f]{1,200}$',
  description: 'A tag up to its first colon.',
})
const Batch = Type.String({
  pattern: '^[A-Za-z0-9._:-]{1,128}$',
  description: 'A purge request, as the journal names it.',
})
const Reason = Type.String({ pattern: '^[^\\x00-\\x1f\\x7f-\\x9f]{1,500}$', description: 'Why; journaled.' })

/** What a replay selects, as it is asked for. */
export const SelectionInput = closed(
  {
    from: Type.Optional(Time),
    to: Type.Optional(Time),
    fromLsn: Type.Optional(LsnText),
    toLsn: Type.Optional(LsnText),
    tags: Type.Optional(Tags),
    prefix: Type.Optional(TagText),
    class: Type.Optional(ClassName),
    batch: Type.Optional(Batch),
    deadLetters: Type.Optional(Type.Literal(true)),
  },
  {
    minProperties: 1,
    description: 'All conditions must hold. Without `to` it ends now; without `from` it begins with the journal.',
  },
)
/** The conditions of a replay. */
export type SelectionInput = Static<typeof SelectionInput>

/** The body of `POST /v1/replays`. */
export const ReplayInput = closed({
  selection: SelectionInput,
  reason: Reason,
  dryRun: Type.Optional(Type.Boolean()),
  confirmToken: Type.Optional(Type.String({ maxLength: 200 })),
})
/** Asks for a replay. */
export type ReplayInput = Static<typeof ReplayInput>

/** The body of `POST /v1/purges`: exactly one of tags, class and everything. */
export const PurgeInput = Type.Union([
  closed({ tags: Tags, reason: Reason }),
  closed({ class: ClassName, reason: Reason }),
  closed({ everything: Type.Literal(true), reason: Reason }),
])
/** Asks for a purge. */
export type PurgeInput = Static<typeof PurgeInput>

/** The body of `POST /v1/dead-letters`. */
export const RedriveInput = closed({ tags: Type.Optional(Tags), reason: Reason })
/** Asks to purge dead letters again: those of some tags, or all. */
export type RedriveInput = Static<typeof RedriveInput>

/** The body of `POST /v1/verify`. */
export const VerifyInput = closed({
  path: Type.String({
    pattern: '^/[\\x21-\\x7e]{0,1000}$',
    description: 'Path and query; the tiers know their hosts.',
  }),
  tags: Type.Optional(Type.Array(TagText, { minItems: 1, maxItems: 50 })),
})
/** Asks what each tier serves. */
export type VerifyInput = Static<typeof VerifyInput>

/** The path parameter of one job. */
export const IdParams = closed({ id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }) })

const Limit = Type.Integer({ minimum: 1, maximum: 1_000, default: 100 })
const Cursor = Type.String({ pattern: '^[A-Za-z0-9_-]{1,200}$', description: 'As `next` of the page before.' })
/** Paging alone. */
export const PageQuery = closed({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) })
/** Filter and paging of the journal. */
export const JournalQueryInput = closed({
  from: Type.Optional(Time),
  to: Type.Optional(Time),
  fromLsn: Type.Optional(LsnText),
  toLsn: Type.Optional(LsnText),
  tag: Type.Optional(TagText),
  prefix: Type.Optional(TagText),
  class: Type.Optional(ClassName),
  batch: Type.Optional(Batch),
  provider: Type.Optional(Type.String({ pattern: '^[\\x21-\\x7e]{1,200}$' })),
  state: Type.Optional(oneOf(JOURNAL_STATES)),
  phase: Type.Optional(oneOf(['live', 'rebound'])),
  lane: Type.Optional(oneOf(['live', 'replay', 'manual'])),
  replayOf: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' })),
  order: Type.Optional(oneOf(['newest', 'oldest'])),
  limit: Type.Optional(Limit),
  cursor: Type.Optional(Cursor),
})
/** Filter and paging of the journal, as it is asked for. */
export type JournalQueryInput = Static<typeof JournalQueryInput>

const Count = Type.Integer({ minimum: 0 })

/** One line of the journal. */
export const RecordOutput = closed({
  position: Type.String(),
  state: oneOf(JOURNAL_STATES),
  at: Time,
  phase: oneOf(['live', 'rebound']),
  lane: oneOf(['live', 'replay', 'manual']),
  provider: nullable(Type.String()),
  tier: nullable(Type.Integer()),
  batch: nullable(Type.String()),
  providerPurgeId: nullable(Type.String()),
  sentAt: nullable(Time),
  objects: nullable(Type.Integer()),
  detail: nullable(Type.String()),
  command: Type.String(),
  tag: Type.String(),
  surrogateKey: Type.String(),
  stamp: Type.String(),
  commitLsn: Type.String(),
  committedAt: Time,
  attempts: nullable(Type.Integer()),
  actor: nullable(Type.String()),
  replayOf: nullable(Type.String()),
})
/** One line of the journal, as it is shown. */
export type RecordOutput = Static<typeof RecordOutput>

/** A replay or a purge. */
export const JobOutput = closed({
  id: Type.String(),
  kind: oneOf(['replay', 'purge']),
  state: oneOf(JOB_STATES),
  actor: Type.String(),
  reason: Type.String(),
  createdAt: Time,
  finishedAt: nullable(Time),
  selection: nullable(SelectionInput),
  tags: nullable(Type.Array(Type.String())),
  total: Count,
  done: Count,
  refused: Count,
  confirmedBy: nullable(Type.String()),
  failure: nullable(Type.String()),
})
/** A replay or a purge, as it is shown. */
export type JobOutput = Static<typeof JobOutput>

/** A purge, and what the journal holds of it. */
export const PurgeOutput = closed({ ...JobOutput.properties, journal: Type.Array(RecordOutput) })
/** A dead letter, and whether its provider took the tag later. */
export const DeadLetterOutput = closed({ ...RecordOutput.properties, isPurgedSince: Type.Boolean() })

/** What a replay would cost. */
export const EstimateOutput = closed({
  keys: Count,
  requests: Count,
  seconds: Type.Number({ minimum: 0 }),
  providers: Type.Array(
    closed({
      name: Type.String(),
      requests: Count,
      tokens: Type.Array(closed({ unit: oneOf(['requests', 'keys']), count: Count })),
      seconds: Type.Number({ minimum: 0 }),
    }),
  ),
  selection: SelectionInput,
  confirmToken: Type.String(),
  confirmBefore: Time,
})
/** What a replay would cost, as it is shown. */
export type EstimateOutput = Static<typeof EstimateOutput>

/** One tier's provider as it stands. */
export const ProviderOutput = closed({
  name: Type.String(),
  tier: Type.Integer(),
  state: oneOf(['open', 'paused', 'denied']),
  backlog: Count,
  lanes: closed({ live: Count, rebound: Count, replay: Count, manual: Count }),
  inFlight: Count,
  budgetFill: Type.Number(),
  drainSeconds: nullable(Type.Number()),
  limits: closed({
    maxKeys: Count,
    maxBytes: Count,
    concurrency: Count,
    rates: Type.Array(closed({ unit: oneOf(['requests', 'keys']), perSecond: Type.Number(), burst: Type.Number() })),
  }),
})
/** One tier's provider, as it is shown. */
export type ProviderOutput = Static<typeof ProviderOutput>

/** What one tier serves of a URL. */
export const VerdictOutput = closed({
  tier: Type.String(),
  url: Type.String(),
  verdict: oneOf(['fresh', 'stale', 'unknown']),
  status: nullable(Type.Integer()),
  ageSeconds: nullable(Type.Integer()),
  stamp: nullable(Type.String()),
  fence: nullable(Type.String()),
  detail: nullable(Type.String()),
})
/** What one tier serves of a URL, as it is shown. */
export type VerdictOutput = Static<typeof VerdictOutput>

/** How many of the newest. */
export const LimitQuery = closed({ limit: Type.Optional(Limit) })

/** A line of the audit log. */
export const AuditOutput = closed({
  at: Time,
  requestId: Type.String(),
  actor: Type.String(),
  role: Type.String(),
  method: Type.String(),
  path: Type.String(),
  bodyHash: Type.String(),
  status: nullable(Type.Integer()),
})

/** A page of anything. */
export const pageOf = (item: TSchema) => closed({ items: Type.Array(item), next: nullable(Type.String()) })
/** A list of anything. */
export const listOf = (item: TSchema) => closed({ items: Type.Array(item) })

/** An error (RFC 9457). */
export const ProblemOutput = closed({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: 'Stable; docs/errors.md says what each means.' }),
  detail: Type.String(),
})
