import { FENCES_PER_ADVANCE } from '@lockstep/cache'
import type { Flush, Tag, Watermark } from '@lockstep/schemas'
import type { Item } from './derive.ts'

/** Applies `items`, which fill `[from, to)` without a hole. */
export interface ApplyStep {
  readonly kind: 'apply'
  readonly from: bigint
  readonly to: bigint
  readonly items: readonly Item[]
  /**
   * A later flush of this batch begins a generation newer than everything in here. Its fence of `*` makes wrong all
   * that these items could, so Redis need not see them; the edge still must.
   */
  readonly isCovered: boolean
  /** The record at `to` cannot be read: what it changed is lost, as if the log had lost it. */
  readonly endsUnreadable: boolean
}

/**
 * Begins a generation at the flush at `offset`. A flush that was sent twice moves a position that stands exactly at it,
 * like any record would, and no other: what lies between has not been applied.
 */
export interface OpenStep {
  readonly kind: 'open'
  readonly flush: Flush
  readonly offset: bigint
}

/** What the log was asked for, and the newest generation met before. */
export interface BatchRange {
  readonly first: bigint
  readonly next: bigint
  readonly newest: number
}

export type Step = ApplyStep | OpenStep

/**
 * Cuts a batch into steps: at flushes, behind unreadable records, where offsets jump, so that `w` itself refuses
 * to pass a hole, and where the tags are enough for one call. One record's tags are never divided.
 */
export function planSteps(items: readonly Item[], range: BatchRange): Step[] {
  const steps: Step[] = []
  // A log that skipped records it does not keep moves on without any: the step is empty, its range is not.
  let from = items[0]?.offset ?? range.first
  let run: Item[] = []
  let tags = new Set<Tag>()
  const flushes = beginnings(items, range.newest)
  const close = (to: bigint, endsUnreadable = false): void => {
    const covered = !endsUnreadable && isCovered(run, flushes)
    if (to > from || endsUnreadable) {
      steps.push({ kind: 'apply', from, to, items: run, isCovered: covered, endsUnreadable })
    }
    from = to
    run = []
    tags = new Set()
  }
  let expected = from
  for (const item of items) {
    if (item.offset !== expected) {
      close(expected)
      from = item.offset
    }
    expected = item.offset + 1n
    if (item.kind === 'flush') {
      close(item.offset)
      steps.push({ kind: 'open', flush: item.flush, offset: item.offset })
      from = expected
    } else if (item.kind === 'unreadable') {
      close(item.offset, true)
      from = expected
    } else {
      const effects = item.kind === 'change' ? item.effects : []
      if (tags.size > 0 && tags.size + effects.length > FENCES_PER_ADVANCE) close(item.offset)
      for (const { tag } of effects) tags.add(tag)
      run.push(item)
    }
  }
  close(range.next)
  return steps
}

/** The flushes that are newer than everything before them. One that is sent again covers nothing. */
function beginnings(items: readonly Item[], newest: number): Item[] {
  return items.filter((item) => {
    if (item.kind === 'unreadable' || item.generation <= newest) return false
    newest = item.generation
    return item.kind === 'flush'
  })
}

/** What precedes a flush that is newer than everything before it, is older than that flush. */
function isCovered(run: readonly Item[], flushes: readonly Item[]): boolean {
  const last = run.at(-1)
  return last !== undefined && flushes.some(({ offset }) => offset > last.offset)
}

/** The last watermark among the items: it holds for all of them, since later changes only add to what it promises. */
export function lastWatermark(items: readonly Item[]): Watermark | undefined {
  return items.findLast((item) => item.kind === 'watermark')?.watermark
}
