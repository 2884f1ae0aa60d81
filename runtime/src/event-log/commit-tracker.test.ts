import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { CommitTracker, type Delivery } from './commit-tracker.ts'

/** What a client does that stores the newest commit: the mutation that the law below must catch. */
class NewestTracker extends CommitTracker {
  #newest = 0n
  override get position(): bigint {
    return this.#newest
  }
  override commit(delivery: Delivery): boolean {
    this.#newest = delivery.to
    return super.commit(delivery)
  }
}

type Step = { readonly kind: 'deliver' | 'commit' | 'rewind'; readonly pick: number }

const steps = fc.array(
  fc.record({ kind: fc.constantFrom('deliver', 'deliver', 'commit', 'commit', 'rewind'), pick: fc.nat(50) }),
  { maxLength: 60, size: 'max' },
) as fc.Arbitrary<Step[]>

/** Replays the steps beside a set of durable offsets; answers whether the position ever passed one that is not. */
function skips(tracker: CommitTracker, script: readonly Step[]): boolean {
  const durable = new Set<bigint>()
  const deliveries: Delivery[] = []
  let next = 0n
  for (const { kind, pick } of script) {
    if (kind === 'deliver') {
      const to = next + BigInt((pick % 5) + 1)
      deliveries.push(tracker.deliver(next, to))
      next = to
    } else if (kind === 'rewind') {
      next = next === 0n ? 0n : BigInt(pick) % (next + 1n)
      tracker.rewind(next)
      for (const offset of durable) if (offset >= next) durable.delete(offset)
    } else {
      const delivery = deliveries[pick % Math.max(1, deliveries.length)]
      if (delivery === undefined) continue
      const isVoid = delivery.state === 'void'
      tracker.commit(delivery)
      for (let at = delivery.from; !isVoid && at < delivery.to; at++) durable.add(at)
    }
    for (let at = 0n; at < tracker.position; at++) if (!durable.has(at)) return true
  }
  return false
}

describe('CommitTracker', () => {
  test('the position never passes an offset whose effects are not durable', () => {
    const law = fc.check(fc.property(steps, (script) => !skips(new CommitTracker(0n), script)))
    expect(law.counterexample).toBe(null)
  })

  test('the law above is broken by a tracker that stores the newest commit', () => {
    const broken = fc.check(fc.property(steps, (script) => !skips(new NewestTracker(0n), script)))
    expect(broken.failed).toBe(true)
  })

  test('the position reaches the end once everything is committed, in whatever order', () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6 })
    const law = fc.check(
      fc.property(order, (indexes) => {
        const tracker = new CommitTracker(10n)
        const deliveries = [0n, 1n, 2n, 3n, 4n, 5n].map((at) => tracker.deliver(10n + at, 11n + at))
        for (const index of indexes) tracker.commit(deliveries[index] as Delivery)
        return tracker.position === 16n && tracker.outstanding === 0
      }),
    )
    expect(law.counterexample).toBe(null)
  })

  test('a rewind into a delivery leaves only the part before it to commit', () => {
    const tracker = new CommitTracker(0n)
    const delivery = tracker.deliver(0n, 10n)
    tracker.rewind(4n)
    tracker.commit(delivery)
    expect(tracker.position).toBe(4n)
  })

  test('a closed tracker ignores commits', () => {
    const tracker = new CommitTracker(0n)
    const delivery = tracker.deliver(0n, 10n)
    tracker.close()
    expect(tracker.commit(delivery)).toBe(false)
    expect(tracker.position).toBe(0n)
  })
})
