import { classOf, EVERYTHING, isClassTag } from '@lockstep/schemas'
import type { Lsn, Tag } from '@lockstep/schemas'
import type { JournalQuery, JournalRecord, JournalStore } from '../journal/store.ts'
import { refuse } from './errors.ts'
import type { PlannedPurge, Selection } from './jobs.ts'

/** Distinct keys a replay may have: about 300 bytes of memory each. */
export const MAX_REPLAY_KEYS = 1_000_000

/**
 * What a replay has to purge, by tag in string order: of each tag the newest clock; a class in the selection covers its
 * tags, and `*` covers everything. Whatever the journal noted of a tag within the range counts, because a purge that was
 * accepted before it may have reached the edge within it.
 * @throws LOCKSTEP_CDN_SELECTION_TOO_LARGE.
 */
export async function planReplay(
  journal: Pick<JournalStore, 'read'>,
  selection: Selection,
  maxKeys = MAX_REPLAY_KEYS,
): Promise<PlannedPurge[]> {
  const newest = new Map<Tag, PlannedPurge>()
  const wanted = selection.tags && new Set(selection.tags)
  for await (const record of journal.read(queryOf(selection))) {
    if (wanted && !wanted.has(record.tag)) continue
    keepNewest(newest, record)
    if (newest.size > maxKeys) throw refuse('LOCKSTEP_CDN_SELECTION_TOO_LARGE', { max: maxKeys })
  }
  if (selection.deadLetters) await dropPurgedSince(journal, newest, selection)
  return withoutCovered(newest)
}

function queryOf(selection: Selection): JournalQuery {
  const { fromMs, toMs, fromLsn, toLsn, tags, prefix, tagClass, batch, deadLetters } = selection
  return {
    fromMs,
    toMs,
    fromLsn: fromLsn === undefined ? undefined : (BigInt(fromLsn) as Lsn),
    toLsn: toLsn === undefined ? undefined : (BigInt(toLsn) as Lsn),
    // One has an index; many are picked out of one reading.
    tag: tags?.length === 1 ? tags[0] : undefined,
    prefix,
    tagClass,
    batch,
    state: deadLetters ? 'dead-lettered' : undefined,
  }
}

function keepNewest(newest: Map<Tag, PlannedPurge>, record: JournalRecord): void {
  const { tag, stamp, commitLsn, commitTimeUs } = record
  const known = newest.get(tag)
  if (!known || known.stamp < stamp) newest.set(tag, { tag, stamp, commitLsn, commitTimeUs })
}

/** A letter whose tag was purged since, by the same or a newer clock, is dead no more. */
async function dropPurgedSince(
  journal: Pick<JournalStore, 'read'>,
  letters: Map<Tag, PlannedPurge>,
  { fromMs, toMs }: Selection,
): Promise<void> {
  if (letters.size === 0) return
  const refusedBy = new Map<Tag, Set<string>>()
  // In order: an acknowledgement counts for the refusals before it.
  for await (const { state, tag, provider = '' } of journal.read({ fromMs, toMs })) {
    if (!letters.has(tag)) continue
    const providers = refusedBy.get(tag) ?? new Set()
    if (state === 'dead-lettered') providers.add(provider)
    if (state === 'acked') providers.delete(provider)
    refusedBy.set(tag, providers)
  }
  for (const [tag, providers] of refusedBy) if (providers.size === 0) letters.delete(tag)
}

function withoutCovered(newest: Map<Tag, PlannedPurge>): PlannedPurge[] {
  const everything = newest.get(EVERYTHING)
  if (everything) return [everything]
  const classes = new Set([...newest.keys()].filter(isClassTag).map(classOf))
  const left = [...newest.values()].filter(({ tag }) => isClassTag(tag) || !classes.has(classOf(tag)))
  return left.toSorted((a, b) => (a.tag < b.tag ? -1 : 1))
}
