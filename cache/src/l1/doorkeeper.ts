/** Keys remembered at least; twice as many at most. */
const KEYS = 10_000

/** Tells whether a key came before, not long ago: it remembers the last 10,000 to 20,000 different keys. */
export class Doorkeeper {
  readonly #capacity: number
  #young = new Set<string>()
  #old = new Set<string>()

  constructor(capacity = KEYS) {
    this.#capacity = capacity
  }

  /** Answers whether the key was seen before, and remembers it. */
  admits(key: string): boolean {
    const isKnown = this.#young.has(key) || this.#old.has(key)
    this.#young.add(key)
    if (this.#young.size >= this.#capacity) {
      this.#old = this.#young
      this.#young = new Set()
    }
    return isKnown
  }
}
