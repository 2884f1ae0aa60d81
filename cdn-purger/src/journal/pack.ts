import { classOf } from '@lockstep/schemas'
import type { Lsn, Stamp, Tag } from '@lockstep/schemas'
import type { JournalEntry, JournalItem, JournalState } from './port.ts'
import type { JournalQuery, JournalRecord } from './store.ts'

/** An entry as a row: both databases have the same columns. */
export interface EntryRow {
  readonly at_ms: number
  readonly state: string
  readonly phase: string
  readonly lane: string
  readonly provider: string | null
  readonly tier: number | null
  readonly batch: string | null
  readonly provider_purge_id: string | null
  readonly sent_at_ms: number | null
  readonly objects: number | null
  readonly detail: string | null
  readonly min_lsn: string
  readonly max_lsn: string
  /** One line per purge, fields separated by tabs: neither tags nor ids may contain control characters. */
  readonly items: string
}

/** A row as it is read back; 64-bit numbers come as text from one of the databases. */
export type StoredRow = Omit<EntryRow, 'min_lsn' | 'max_lsn'> & { readonly seq: number | string }

/** The columns of a row, in order. */
export const COLUMNS = [
  'at_ms',
  'state',
  'phase',
  'lane',
  'provider',
  'tier',
  'batch',
  'provider_purge_id',
  'sent_at_ms',
  'objects',
  'detail',
  'min_lsn',
  'max_lsn',
  'items',
] as const satisfies readonly (keyof EntryRow)[]

// Both databases hold signed 64-bit numbers; no log is half as long.
const MAX_LSN = 2n ** 63n - 1n
const CONTROL = /\p{Cc}/gu

/** Writes an entry as a row. */
export function rowOf(entry: JournalEntry): EntryRow {
  let min = MAX_LSN
  let max = 0n
  let items = ''
  for (const item of entry.items) {
    const { commitLsn } = item.command
    if (commitLsn < min) min = commitLsn
    if (commitLsn > max) max = commitLsn
    items += lineOf(item)
  }
  return {
    at_ms: Math.floor(entry.atMs),
    state: entry.state,
    phase: entry.phase,
    lane: entry.lane,
    provider: entry.provider ?? null,
    tier: entry.tier ?? null,
    batch: entry.batch ?? null,
    provider_purge_id: entry.providerPurgeId === undefined ? null : clean(entry.providerPurgeId),
    sent_at_ms: entry.sentAtMs === undefined ? null : Math.floor(entry.sentAtMs),
    objects: entry.objects ?? null,
    detail: entry.detail === undefined ? null : clean(entry.detail),
    min_lsn: String(min),
    max_lsn: String(max > MAX_LSN ? MAX_LSN : max),
    items,
  }
}

/** What a provider or a person said, without what would break a line or what a database refuses. */
function clean(text: string): string {
  return text.replaceAll(CONTROL, ' ').toWellFormed()
}

function lineOf({ command, attempts, actor, replayOf }: JournalItem): string {
  const { id, tag, stamp, commitLsn, commitTimeUs } = command
  const line = `${id}\t${tag}\t${stamp}\t${commitLsn}\t${commitTimeUs}\t${attempts ?? ''}`
  if (!actor && !replayOf) return `${line}\n`
  return `${line}\t${clean(actor ?? '')}\t${replayOf ?? ''}\n`
}

/** Reads the purges of a row back. */
export function* recordsOf(row: StoredRow): Generator<JournalRecord> {
  const shared = sharedOf(row)
  const entry = Number(row.seq)
  let index = 0
  for (const line of row.items.split('\n')) {
    if (line === '') continue
    const [id = '', tag = '', stamp = '', lsn = '0', timeUs = '0', attempts = '', actor = '', replayOf = ''] =
      line.split('\t')
    yield {
      ...shared,
      position: { entry, item: index },
      id,
      tag: tag as Tag,
      stamp: stamp as Stamp,
      commitLsn: BigInt(lsn) as Lsn,
      commitTimeUs: BigInt(timeUs),
      ...(attempts === '' ? {} : { attempts: Number(attempts) }),
      ...(actor === '' ? {} : { actor }),
      ...(replayOf === '' ? {} : { replayOf }),
    }
    index += 1
  }
}

function sharedOf(row: StoredRow): Omit<JournalEntry, 'items'> {
  return {
    state: row.state as JournalState,
    atMs: Number(row.at_ms),
    phase: row.phase as JournalEntry['phase'],
    lane: row.lane as JournalEntry['lane'],
    ...(row.provider === null ? {} : { provider: row.provider }),
    ...(row.tier === null ? {} : { tier: Number(row.tier) }),
    ...(row.batch === null ? {} : { batch: row.batch }),
    ...(row.provider_purge_id === null ? {} : { providerPurgeId: row.provider_purge_id }),
    ...(row.sent_at_ms === null ? {} : { sentAtMs: Number(row.sent_at_ms) }),
    ...(row.objects === null ? {} : { objects: Number(row.objects) }),
    ...(row.detail === null ? {} : { detail: row.detail }),
  }
}

/** Tells whether a purge of a row that passed the row's conditions also passes its own. */
export function matches(record: JournalRecord, query: JournalQuery): boolean {
  const { tag, commitLsn } = record
  if (query.tag !== undefined && tag !== query.tag) return false
  if (query.prefix !== undefined && !tag.startsWith(query.prefix)) return false
  if (query.tagClass !== undefined && classOf(tag) !== query.tagClass) return false
  if (query.replayOf !== undefined && record.replayOf !== query.replayOf) return false
  if (query.fromLsn !== undefined && commitLsn < query.fromLsn) return false
  return query.toLsn === undefined || commitLsn <= query.toLsn
}

/** A signed 32-bit FNV-1a hash of a tag, for the index; the lines themselves decide. */
export function tagHash(tag: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < tag.length; index++) hash = Math.imul(hash ^ tag.charCodeAt(index), 0x01000193)
  return hash | 0
}

/** The distinct hashes of an entry's tags. */
export function tagHashes(items: readonly JournalItem[]): number[] {
  const hashes = new Set<number>()
  for (const { command } of items) hashes.add(tagHash(command.tag))
  return [...hashes]
}
