import type { ReceivedRecord } from '@lockstep/runtime'
import { EVERYTHING, classTag, decodeEvent, generationOf, tagsOf } from '@lockstep/schemas'
import type { Change, DeadLetter, Flush, LogEvent, Lsn, RuleSet, Stamp, Tag, Watermark } from '@lockstep/schemas'

/** One tag that one change makes wrong. */
export interface Effect {
  readonly tag: Tag
  readonly stamp: Stamp
  readonly commitLsn: Lsn
  readonly commitTimeUs: bigint
  /** Offset of the record that caused it: names the purge command, the same at every delivery. */
  readonly offset: bigint
}

/** What one record of `changes` asks for. */
export type Item =
  | {
      readonly kind: 'change'
      readonly offset: bigint
      readonly generation: number
      readonly commitTimeUs: bigint
      readonly effects: readonly Effect[]
      /** Set when the tags could not be derived: the effects are then class fences of the table. */
      readonly letter?: DeadLetter | undefined
    }
  | { readonly kind: 'watermark'; readonly offset: bigint; readonly generation: number; readonly watermark: Watermark }
  | { readonly kind: 'flush'; readonly offset: bigint; readonly generation: number; readonly flush: Flush }
  | { readonly kind: 'unreadable'; readonly offset: bigint; readonly letter: DeadLetter }

/** Where a record came from, for its dead letter. */
export interface RecordOrigin {
  readonly topic: string
  readonly partition: number
}

/** Code of a record that decodes but has no business on `changes`. */
export const UNEXPECTED_RECORD = 'LOCKSTEP_INV_UNEXPECTED_RECORD'
/** Code of a change whose tags could not be derived. */
export const TAGS_UNDERIVABLE = 'LOCKSTEP_INV_TAGS_UNDERIVABLE'
/** Code of a record whose decoder named no code of its own. */
export const UNREADABLE_RECORD = 'LOCKSTEP_INV_UNREADABLE_RECORD'

/** Derives what one record asks for; never throws, because a record that can never succeed must not stop the others. */
export function deriveItem(rules: RuleSet, record: ReceivedRecord, origin: RecordOrigin): Item {
  const { offset } = record
  const letterOf = (code: string, message: string): DeadLetter => ({
    kind: 'dead-letter',
    code,
    message,
    ...origin,
    offset,
    payload: record.value,
  })
  let event: LogEvent
  try {
    event = decodeEvent(record.value)
  } catch (error) {
    return { kind: 'unreadable', offset, letter: letterOf(codeOf(error), messageOf(error)) }
  }
  switch (event.kind) {
    case 'watermark':
      return { kind: 'watermark', offset, generation: generationOf(event.stamp), watermark: event }
    case 'flush':
      return { kind: 'flush', offset, generation: event.generation, flush: event }
    case 'change':
      return deriveChange(rules, event, { offset, letterOf })
    default:
      return { kind: 'unreadable', offset, letter: letterOf(UNEXPECTED_RECORD, `a ${event.kind} is no change`) }
  }
}

interface LetterSource {
  readonly offset: bigint
  readonly letterOf: (code: string, message: string) => DeadLetter
}

function deriveChange(rules: RuleSet, change: Change, { offset, letterOf }: LetterSource): Item {
  const { stamp, commitLsn, commitTimeUs } = change
  let tags: readonly Tag[]
  let letter: DeadLetter | undefined
  try {
    tags = tagsOf(rules, change)
  } catch (error) {
    letter = letterOf(TAGS_UNDERIVABLE, messageOf(error))
    tags = coarseTags(rules, change.table)
  }
  const effects = tags.map((tag): Effect => ({ tag, stamp, commitLsn, commitTimeUs, offset }))
  return { kind: 'change', offset, generation: generationOf(stamp), commitTimeUs, effects, letter }
}

/** The coarsest fences a table can need: its classes, or everything where no rule names them. */
function coarseTags(rules: RuleSet, table: string): readonly Tag[] {
  const classes = rules.tables.get(table)?.classes
  return classes === undefined || classes.length === 0 ? [EVERYTHING] : classes.map(classTag)
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : UNREADABLE_RECORD
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
