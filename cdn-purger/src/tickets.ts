/** Commits one batch of the log when every command of it is done, wherever its commands went. */
export class BatchTicket {
  #open = 1
  readonly #commit: () => void

  constructor(commit: () => void) {
    this.#commit = commit
  }

  hold(): void {
    this.#open += 1
  }

  /** Ends one hold, or the one that every ticket is born with. */
  release(): void {
    this.#open -= 1
    if (this.#open === 0) this.#commit()
  }
}

/** The batches that one purge answers for, each held once. */
export class TicketSet {
  readonly #tickets = new Set<BatchTicket>()

  get size(): number {
    return this.#tickets.size
  }

  add(ticket: BatchTicket): void {
    if (this.#tickets.has(ticket)) return
    ticket.hold()
    this.#tickets.add(ticket)
  }

  /** Takes over all holds of `other`, which is empty afterwards. */
  absorb(other: TicketSet): void {
    for (const ticket of other.#tickets) {
      if (this.#tickets.has(ticket)) ticket.release()
      else this.#tickets.add(ticket)
    }
    other.#tickets.clear()
  }

  release(): void {
    for (const ticket of this.#tickets) ticket.release()
    this.#tickets.clear()
  }
}
