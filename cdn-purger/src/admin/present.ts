import { encodeSurrogateKey, formatLsn, parseLsn, parseTag } from '@lockstep/schemas'
import type { Lsn, Tag } from '@lockstep/schemas'
import type { JournalPosition, JournalRecord } from '../journal/store.ts'
import { refuse } from './errors.ts'
import type { Job, Selection } from './jobs.ts'
import type { JobOutput, RecordOutput, SelectionInput } from './schemas.ts'

const iso = (ms: number): string => new Date(ms).toISOString()
const isoOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : iso(ms))

/** A line of the journal as it is shown. */
export function presentRecord(record: JournalRecord): RecordOutput {
  const { position, commitTimeUs } = record
  return {
    position: `${position.entry}.${position.item}`,
    state: record.state,
    at: iso(record.atMs),
    phase: record.phase,
    lane: record.lane,
    provider: record.provider ?? null,
    tier: record.tier ?? null,
    batch: record.batch ?? null,
    providerPurgeId: record.providerPurgeId ?? null,
    sentAt: isoOrNull(record.sentAtMs),
    objects: record.objects ?? null,
    detail: record.detail ?? null,
    command: record.id,
    tag: record.tag,
    surrogateKey: encodeSurrogateKey(record.tag),
    stamp: record.stamp,
    commitLsn: formatLsn(record.commitLsn),
    committedAt: iso(Number(commitTimeUs / 1_000n)),
    attempts: record.attempts ?? null,
    actor: record.actor ?? null,
    replayOf: record.replayOf ?? null,
  }
}

/** A replay or a purge as it is shown. */
export function presentJob(job: Job): JobOutput {
  const { id, kind, state, actor, reason, total, done, refused } = job
  return {
    id,
    kind,
    state,
    actor,
    reason,
    total,
    done,
    refused,
    createdAt: iso(job.createdMs),
    finishedAt: isoOrNull(job.finishedMs),
    selection: job.selection ? presentSelection(job.selection) : null,
    tags: job.tags ? [...job.tags] : null,
    confirmedBy: job.confirmedBy ?? null,
    failure: job.failure ?? null,
  }
}

/** A selection as it is shown: the range it came to mean. */
export function presentSelection(selection: Selection): SelectionInput {
  const { fromMs, toMs, fromLsn, toLsn, tags, prefix, tagClass, batch, deadLetters } = selection
  const lsn = (text: string) => formatLsn(BigInt(text) as Lsn)
  return {
    from: iso(fromMs),
    to: iso(toMs),
    ...(fromLsn === undefined ? {} : { fromLsn: lsn(fromLsn) }),
    ...(toLsn === undefined ? {} : { toLsn: lsn(toLsn) }),
    ...(tags === undefined ? {} : { tags: [...tags] }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(tagClass === undefined ? {} : { class: tagClass }),
    ...(batch === undefined ? {} : { batch }),
    ...(deadLetters ? { deadLetters: true as const } : {}),
  }
}

/** The times and positions of a range. */
export interface Range {
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
  readonly fromLsn: Lsn | undefined
  readonly toLsn: Lsn | undefined
}

/** Reads a range. @throws LOCKSTEP_CDN_BAD_RANGE. */
export function rangeOf(input: Pick<SelectionInput, 'from' | 'to' | 'fromLsn' | 'toLsn'>): Range {
  const fromMs = timeOf('from', input.from)
  const toMs = timeOf('to', input.to)
  const fromLsn = input.fromLsn === undefined ? undefined : parseLsn(input.fromLsn)
  const toLsn = input.toLsn === undefined ? undefined : parseLsn(input.toLsn)
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) badRange('from is not before to')
  if (fromLsn !== undefined && toLsn !== undefined && fromLsn > toLsn) badRange('fromLsn is past toLsn')
  return { fromMs, toMs, fromLsn, toLsn }
}

function timeOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  if (Number.isNaN(ms) || ms < 0) badRange(`${name} is no time since 1970`)
  return ms
}

function badRange(detail: string): never {
  throw refuse('LOCKSTEP_CDN_BAD_RANGE', { detail })
}

/** Reads tags. @throws LOCKSTEP_CDN_BAD_TAG, also for `*`: everything is asked for by that name. */
export function tagsOf(texts: readonly string[]): Tag[] {
  return texts.map((text) => {
    if (text === '*') throw refuse('LOCKSTEP_CDN_BAD_TAG', { detail: 'everything is purged by "everything": true' })
    try {
      return parseTag(text)
    } catch (error) {
      throw refuse('LOCKSTEP_CDN_BAD_TAG', { detail: (error as Error).message }, error)
    }
  })
}

/** Writes where a page ended. */
export function cursorOf(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** Reads where a page ended. @throws LOCKSTEP_CDN_BAD_REQUEST for what `cursorOf` did not write. */
export function parseCursor<T extends object>(
  text: string | undefined,
  is: (value: object) => value is T,
): T | undefined {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (typeof value === 'object' && value !== null && is(value)) return value
  } catch {
    // Falls through: the text is no JSON.
  }
  throw refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail: 'cursor is not one of ours' })
}

/** Tells a position of the journal from anything else. */
export function isPosition(value: object): value is JournalPosition {
  const { entry, item } = value as Partial<JournalPosition>
  return Number.isSafeInteger(entry) && Number.isSafeInteger(item)
}

/** Tells the place of a job in the list from anything else. */
export function isJobPlace(value: object): value is Pick<Job, 'id' | 'createdMs'> {
  const { id, createdMs } = value as Partial<Job>
  return typeof id === 'string' && id.length <= 64 && !/\p{Cc}/u.test(id) && Number.isSafeInteger(createdMs)
}
