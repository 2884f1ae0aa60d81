import type { PurgeQueue, Slot } from './purge-queue.ts'

/** When keys may be replaced by something coarser, which costs hits to save time. */
export interface Escalation {
  /** Longest forecast to live with, ms; null: never escalate. */
  readonly maxDrainMs: number | null
  /** Classes that may be purged whole; `*` among them: any class, and in the end everything. */
  readonly classes: ReadonlySet<string>
}

/** One rung that was taken. */
export interface EscalationStep {
  readonly level: 'class' | 'all'
  readonly reason: string
  readonly covered: readonly Slot[]
}

/** Climbs from keys to classes, largest first, to everything, until the forecast is within the policy or no rung is left. */
export function* escalate(
  queue: PurgeQueue,
  { maxDrainMs, classes }: Escalation,
  forecastMs: () => number,
): Generator<EscalationStep> {
  const isAny = classes.has('*')
  while (maxDrainMs !== null && forecastMs() > maxDrainMs) {
    const largest = queue.largestClass((tagClass) => isAny || classes.has(tagClass))
    if (!largest && (!isAny || queue.size < 2)) return
    const seconds = Math.round(forecastMs() / 1_000)
    const what = largest ? `${largest.tags} tags of ${largest.tagClass}` : 'all tags'
    const reason = `draining would take ${seconds} s, more than ${Math.round(maxDrainMs / 1_000)} s: ${what} in one`
    yield { level: largest ? 'class' : 'all', reason, covered: queue.collapse(largest?.tagClass ?? null) }
  }
}
