/** Strings with a life, as Redis keeps them. */
export class ExpiringMap {
  readonly #now: () => number
  readonly #entries = new Map<string, { value: string; until: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  get(key: string): string | null {
    const entry = this.#entries.get(key)
    if (!entry) return null
    if (entry.until > this.#now()) return entry.value
    this.#entries.delete(key)
    return null
  }

  set(key: string, value: string, lifeMs: number): void {
    this.#entries.set(key, { value, until: this.#now() + lifeMs })
  }

  /** Changes the value and keeps its life. */
  replace(key: string, value: string): void {
    const entry = this.#entries.get(key)
    if (entry) entry.value = value
  }

  /** Raises the remaining life to at least `lifeMs`. */
  prolong(key: string, lifeMs: number): void {
    const entry = this.#entries.get(key)
    if (entry) entry.until = Math.max(entry.until, this.#now() + lifeMs)
  }

  /** Remaining life, ms; −2 when there is none, as Redis says it. */
  life(key: string): number {
    return this.get(key) === null ? -2 : (this.#entries.get(key)?.until ?? 0) - this.#now()
  }

  delete(key: string): boolean {
    return this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  /** Copies everything; the answer brings it back. */
  save(): () => void {
    const saved = [...this.#entries].map(([key, entry]) => [key, { ...entry }] as const)
    return () => {
      this.#entries.clear()
      for (const [key, entry] of saved) this.#entries.set(key, { ...entry })
    }
  }
}
