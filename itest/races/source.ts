/** A held load: it has read its row and not answered. */
export interface HeldLoad {
  readonly reached: Promise<void>
  release(): void
}

/** The database of a scenario: versions of rows, read by loaders that can be held after they have read. */
export class Source {
  readonly #versions = new Map<string, number>()
  readonly #held = new Map<string, { readonly arrived: () => void; readonly opened: Promise<void> }>()

  /** Rows begin at version 1. */
  version(id: string): number {
    return this.#versions.get(id) ?? 1
  }

  /** Commits the next version. */
  write(id: string): void {
    this.#versions.set(id, this.version(id) + 1)
  }

  /** Holds the next load of a row; the ones after it pass. */
  hold(id: string): HeldLoad {
    const arrival = Promise.withResolvers<void>()
    const opening = Promise.withResolvers<void>()
    this.#held.set(id, { arrived: arrival.resolve, opened: opening.promise })
    return { reached: arrival.promise, release: opening.resolve }
  }

  /** Reads a row, as a loader does. */
  readonly load = async (id: string): Promise<number> => {
    const version = this.version(id)
    const held = this.#held.get(id)
    this.#held.delete(id)
    held?.arrived()
    await held?.opened
    return version
  }
}
