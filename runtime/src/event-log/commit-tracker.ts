/** A delivered run of offsets whose effects are not known to be durable yet. */
export interface Delivery {
  readonly from: bigint
  /** Offset after the last one that this delivery still covers; a rewind lowers it. */
  to: bigint
  state: 'open' | 'committed' | 'void'
}

/**
 * Turns commits in any order into the contiguous prefix of one partition. Invariant: every delivery in `#open` begins
 * where its predecessor ended, or where a rewind asked for, so the head alone decides whether the position moves.
 */
export class CommitTracker {
  #open: Delivery[] = []
  #position: bigint

  /** @param position Offset after the last one whose effects are durable. */
  constructor(position: bigint) {
    this.#position = position
  }

  get position(): bigint {
    return this.#position
  }

  /** Number of deliveries that wait for their own or an earlier commit. */
  get outstanding(): number {
    return this.#open.length
  }

  /** Registers a delivery; deliveries are registered in the order of the log. */
  deliver(from: bigint, to: bigint): Delivery {
    const delivery: Delivery = { from, to, state: 'open' }
    this.#open.push(delivery)
    return delivery
  }

  /** Marks a delivery durable; answers whether the position moved. Repeating it is harmless. */
  commit(delivery: Delivery): boolean {
    if (delivery.state !== 'open') return false
    delivery.state = 'committed'
    let moved = 0
    for (const head of this.#open) {
      if (head.state !== 'committed') break
      this.#position = head.to
      moved += 1
    }
    if (moved > 0) this.#open = this.#open.slice(moved)
    return moved > 0
  }

  /** Forgets everything at or past `offset`, committed or not. */
  rewind(offset: bigint): void {
    while (this.#open.length > 0) {
      const last = this.#open[this.#open.length - 1]
      if (last === undefined || last.to <= offset) break
      if (last.from < offset) {
        last.to = offset
        break
      }
      last.state = 'void'
      this.#open.pop()
    }
    if (this.#position > offset) this.#position = offset
  }

  /** Makes every later commit a no-op: another consumer owns the partition. */
  close(): void {
    for (const delivery of this.#open) delivery.state = 'void'
    this.#open = []
  }
}
