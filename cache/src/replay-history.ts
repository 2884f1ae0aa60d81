import type { Lsn, Stamp } from '@lockstep/schemas'

/** Every commit that `stamp` sees lies below `lsn`. */
interface Pair {
  readonly lsn: Lsn
  readonly stamp: Stamp
  /** Monotonic ms as of which `stamp` sees everything. */
  readonly asOf: number
}

/** Two minutes of heartbeats of 50 ms: a replica further behind serves no contract. */
const MAX_PAIRS = 2_400

/**
 * What heartbeats tell of the order of snapshots in the write-ahead log. A hot standby cannot say what it sees (its own
 * snapshots lack the running transactions), but it can say how far it has replayed.
 */
export class ReplayHistory {
  #pairs: Pair[] = []

  /** Takes note of a heartbeat; one that does not move on in both is passed over. */
  note(lsn: Lsn, stamp: Stamp, asOf: number): void {
    const last = this.#pairs.at(-1)
    if (last && (lsn < last.lsn || stamp <= last.stamp || asOf < last.asOf)) return
    this.#pairs.push({ lsn, stamp, asOf })
    if (this.#pairs.length > MAX_PAIRS) this.#pairs = this.#pairs.slice(-MAX_PAIRS / 2)
  }

  /** The newest snapshot that a standby which has replayed up to `lsn` is known to have reached; null = none is known. */
  reached(lsn: Lsn): Pair | null {
    return this.#pairs.findLast((pair) => pair.lsn <= lsn) ?? null
  }

  /** Another log may have begun. */
  clear(): void {
    this.#pairs = []
  }
}
