import type { Stamp } from '@lockstep/schemas'
import type { FenceRing } from './fence-ring.ts'
import { satisfies, type Arrival, type Outcome } from './outcome.ts'

/** Readers without a token that arrived at one moment of the ring, in order: what does for the last of them does for all. */
interface Companions {
  last: Arrival
  count: number
  readonly answer: Promise<unknown>
}

/** One piece of work in progress for one key; `beganLoading` is filled in when its stamp is fixed. */
export class Flight {
  beganLoading: { readonly stamp: Stamp | null; readonly sequence: number; readonly at: number } | null = null
  landing: Promise<Outcome> | null = null
  companions: Companions | null = null
}

/** Shares work among readers of one key, as far as each of them may have its result. */
export class Flights {
  readonly #ring: FenceRing
  readonly #shareAny: boolean
  readonly #byKey = new Map<string, Flight>()

  constructor(ring: FenceRing, options: { readonly shareAny?: boolean | undefined } = {}) {
    this.#ring = ring
    this.#shareAny = options.shareAny ?? false
  }

  /** The flight of this key that the reader may share, as far as is known on its arrival; null = begin one. */
  joinable(reader: Arrival): Promise<Outcome> | null {
    return this.#joinable(reader)?.landing ?? null
  }

  /**
   * The same for readers of one kind without a token. Thousands may wait for one load, so companions share one promise: what
   * `take` makes of the outcome for the last of `count`.
   */
  together<T>(
    reader: Arrival,
    take: (outcome: Outcome, last: Arrival, count: number) => T | Promise<T>,
  ): Promise<T> | null {
    const flight = this.#joinable(reader)
    const { landing = null, companions = null } = flight ?? {}
    if (!flight || !landing) return null
    if (companions?.last.sequence === reader.sequence) {
      companions.last = reader
      companions.count += 1
      return companions.answer as Promise<T>
    }
    const answer = landing.then((outcome) => take(outcome, begun.last, begun.count))
    const begun: Companions = { last: reader, count: 1, answer }
    flight.companions = begun
    return answer
  }

  /** Judges a shared outcome again, when the value's tags are known: it may not do for a reader that came later. */
  satisfies(outcome: Outcome, reader: Arrival): boolean {
    return this.#shareAny || satisfies(outcome, reader, this.#ring)
  }

  /** Begins a flight, which readers may join until it has landed. */
  async launch(key: string, begin: (flight: Flight) => Promise<Outcome>): Promise<Outcome> {
    const flight = new Flight()
    this.#byKey.set(key, flight)
    try {
      flight.landing = begin(flight)
      return await flight.landing
    } finally {
      if (this.#byKey.get(key) === flight) this.#byKey.delete(key)
    }
  }

  #joinable(reader: Arrival): Flight | null {
    const flight = this.#byKey.get(reader.key)
    return flight !== undefined && this.#maySatisfy(flight, reader) ? flight : null
  }

  /** Foresees, by the own tag alone, that a load in progress cannot satisfy the reader. */
  #maySatisfy(flight: Flight, reader: Arrival): boolean {
    const loading = flight.beganLoading
    if (!loading || this.#shareAny) return true
    const foreseen: Outcome = {
      value: null,
      stamp: loading.stamp,
      tags: [reader.key],
      layer: 'load',
      loadedAt: loading.at,
      stored: false,
      knownAt: loading.sequence,
      asOf: loading.at,
    }
    return satisfies(foreseen, reader, this.#ring)
  }
}
