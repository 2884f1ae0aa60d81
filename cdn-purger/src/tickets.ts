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

/** The batches that one purge answers for, each held once. Mostly one, so that a set would be waste. */
export class TicketSet {
  #one: BatchTicket | null = null
  #more: Set<BatchTicket> | null = null

  add(ticket: BatchTicket): void {
    if (this.#has(ticket)) return
    ticket.hold()
    this.#take(ticket)
  }

  /** Takes over all holds of `other`, which is empty afterwards. */
  absorb(other: TicketSet): void {
    for (const ticket of other.#clear()) {
      if (this.#has(ticket)) ticket.release()
      else this.#take(ticket)
    }
  }

  release(): void {
    for (const ticket of this.#clear()) ticket.release()
  }

  #has(ticket: BatchTicket): boolean {
    return this.#one === ticket || this.#more?.has(ticket) === true
  }

  #take(ticket: BatchTicket): void {
    if (this.#one) (this.#more ??= new Set()).add(ticket)
    else this.#one = ticket
  }

  #clear(): BatchTicket[] {
    const tickets = this.#one ? [this.#one, ...(this.#more ?? [])] : []
    this.#one = null
    this.#more = null
    return tickets
  }
}
