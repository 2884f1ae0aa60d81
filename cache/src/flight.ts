import { classOf, type Stamp, type Tag } from '@lockstep/schemas'
import type { FenceRing } from './fence-ring.ts'
import { satisfies, type Arrival, type Outcome } from './outcome.ts'

/** One piece of work in progress for one key; `beganLoading` is filled in when its stamp is fixed. */
export interface Flight {
  beganLoading: { readonly stamp: Stamp | null; readonly sequence: number; readonly at: number } | null
}

interface Airborne extends Flight {
  readonly landing: Promise<Outcome>
}

/** What a reader got, and whether another reader's work brought it. */
export interface Shared {
  readonly outcome: Outcome
  readonly isShared: boolean
}

/** Shares work among readers of one key, as far as each of them may have its result. */
export class Flights {
  readonly #ring: FenceRing
  readonly #shareAny: boolean
  readonly #byKey = new Map<string, Airborne>()

  constructor(ring: FenceRing, options: { readonly shareAny?: boolean | undefined } = {}) {
    this.#ring = ring
    this.#shareAny = options.shareAny ?? false
  }

  /**
   * Answers the outcome of a flight that the reader may share, or of a new one. A shared one is judged on arrival, as far
   * as it is known, and again on completion, when the value's tags are.
   */
  async join(reader: Arrival, begin: (flight: Flight) => Promise<Outcome>): Promise<Shared> {
    for (;;) {
      const current = this.#byKey.get(reader.key)
      if (!current || !this.#maySatisfy(current, reader)) {
        return { outcome: await this.#launch(reader.key, begin), isShared: false }
      }
      const outcome = await current.landing
      if (this.#shareAny || satisfies(outcome, reader, this.#ring)) return { outcome, isShared: true }
    }
  }

  #launch(key: string, begin: (flight: Flight) => Promise<Outcome>): Promise<Outcome> {
    const flight: Flight = { beganLoading: null }
    const landing = begin(flight).finally(() => {
      if (this.#byKey.get(key) === airborne) this.#byKey.delete(key)
    })
    const airborne: Airborne = Object.assign(flight, { landing })
    this.#byKey.set(key, airborne)
    return landing
  }

  /** Foresees, by the own tag alone, that a load in progress cannot satisfy the reader. */
  #maySatisfy(flight: Airborne, reader: Arrival): boolean {
    const loading = flight.beganLoading
    if (!loading || this.#shareAny) return true
    const own = reader.key as Tag
    const foreseen: Outcome = {
      value: null,
      stamp: loading.stamp,
      tags: [],
      dependencies: { plain: [own], classes: [classOf(own)] },
      layer: 'load',
      loadedAt: loading.at,
      stored: false,
      knownAt: loading.sequence,
      asOf: loading.at,
    }
    return satisfies(foreseen, reader, this.#ring)
  }
}
