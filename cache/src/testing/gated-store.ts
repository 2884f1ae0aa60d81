import type { CacheStore } from '../store.ts'

/** A point in the protocol at which a test can hold a process. */
export type Point =
  `${'before' | 'after'} ${'value' | 'fences' | 'fence' | 'claim' | 'lease' | 'touch' | 'store' | 'release' | 'attach' | 'read' | 'time'}`

/** A held call: `reached` resolves when it got there, `open` lets it and all later ones pass. */
export interface Gate {
  readonly reached: Promise<void>
  open(): void
}

interface Held {
  readonly arrived: () => void
  readonly opened: Promise<void>
  readonly open: () => void
}

/** Holds and breaks calls of a store; the calls themselves are the real ones. */
export class Gates {
  readonly #held = new Map<Point, Held>()
  readonly #counts = new Map<string, number>()
  #failure: Error | null = null

  /** Holds every call at the point until the gate opens. */
  hold(point: Point): Gate {
    const arrival = Promise.withResolvers<void>()
    const opening = Promise.withResolvers<void>()
    const open = (): void => {
      this.#held.delete(point)
      opening.resolve()
    }
    this.#held.set(point, { arrived: arrival.resolve, opened: opening.promise, open })
    return { reached: arrival.promise, open }
  }

  /** Opens every gate. */
  openAll(): void {
    for (const { open } of this.#held.values()) open()
  }

  /** Makes every call fail, as a lost connection does; null mends it. */
  fail(error: Error | null): void {
    this.#failure = error
  }

  /** How often a step was called. */
  count(step: string): number {
    return this.#counts.get(step) ?? 0
  }

  async pass<T>(step: string, work: () => Promise<T>): Promise<T> {
    this.#counts.set(step, this.count(step) + 1)
    // A call that nobody holds begins at once, as it does without gates.
    const before = this.#held.get(`before ${step}` as Point)
    if (before) await this.#wait(before)
    if (this.#failure) throw this.#failure
    const result = await work()
    // A failure that comes meanwhile takes the answer, not the effect.
    if (this.#failure) throw this.#failure
    const after = this.#held.get(`after ${step}` as Point)
    if (after) await this.#wait(after)
    return result
  }

  async #wait(held: Held): Promise<void> {
    held.arrived()
    await held.opened
  }
}

/** Puts gates around a store. */
export function gatedStore(store: CacheStore, gates: Gates): CacheStore {
  const { values, fills, bus, fences, sequencer } = store
  return {
    values: {
      value: (key) => gates.pass('value', () => values.value(key)),
      fences: (tags) => gates.pass('fences', () => values.fences(tags)),
    },
    fills: {
      lease: (request) => gates.pass('lease', () => fills.lease(request)),
      touch: (tags, stamp, longMs) => gates.pass('touch', () => fills.touch(tags, stamp, longMs)),
      store: (request) => gates.pass('store', () => fills.store(request)),
      release: (key, lease) => gates.pass('release', () => fills.release(key, lease)),
    },
    fences: {
      apply: (raised, shortMs) => gates.pass('fence', () => fences.apply(raised, shortMs)),
      claim: (request) => {
        const claimed = fences.claim(request)
        return claimed && gates.pass('claim', () => claimed)
      },
    },
    bus: {
      attach: () => gates.pass('attach', () => bus.attach()),
      read: (after, blockMs) => gates.pass('read', () => bus.read(after, blockMs)),
      ack: (processId, id) => gates.pass('ack', () => bus.ack(processId, id)),
      withdraw: (processId) => bus.withdraw(processId),
    },
    sequencer: {
      draw: () => gates.pass('draw', () => sequencer.draw()),
      publish: (stamp, fenced) => gates.pass('publish', () => sequencer.publish(stamp, fenced)),
      beat: (intervalMs) => gates.pass('beat', () => sequencer.beat(intervalMs)),
    },
    timeUs: () => gates.pass('time', () => store.timeUs()),
    connect: () => store.connect(),
    close: () => store.close(),
  }
}
