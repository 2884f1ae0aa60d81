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

export type Step = ApplyStep | OpenStep

/**
 * Cuts a batch into steps: at flushes, behind unreadable records, where offsets jump, so that `w` itself refuses
 * to pass a hole, and where the tags are enough for one call. One record's tags are never divided.
 */
export function planSteps(items: readonly Item[], range: { first: bigint; next: bigint }): Step[] {
  const steps: Step[] = []
  // A log that skipped records it does not keep moves on without any: the step is empty, its range is not.
  let from = items[0]?.offset ?? range.first
  let run: Item[] = []
  let tags = new Set<Tag>()
  const flushes = items.filter((item) => item.kind === 'flush')
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

function isCovered(run: readonly Item[], flushes: readonly Item[]): boolean {
  const last = run.at(-1)
  if (last === undefined) return false
  // A flush is sent again when its first sending may have failed: only a strictly newer one covers what precedes it.
  const newest = newestGeneration(run)
  return flushes.some((item) => item.kind === 'flush' && item.offset > last.offset && item.generation > newest)
}

/** The newest generation that any of these records names; 0 when none does. */
function newestGeneration(items: readonly Item[]): number {
  return items.reduce((newest, item) => (item.kind === 'unreadable' ? newest : Math.max(newest, item.generation)), 0)
}

/** The last watermark among the items: it holds for all of them, since later changes only add to what it promises. */
export function lastWatermark(items: readonly Item[]): Watermark | undefined {
  return items.findLast((item) => item.kind === 'watermark')?.watermark
}
