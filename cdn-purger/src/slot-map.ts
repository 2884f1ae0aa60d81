import type { Slot } from './purge-queue.ts'

/**
 * Slots by tag in the order in which they came. A Map alone would step over everything that was taken from its front, each
 * time from the beginning.
 */
export class SlotMap {
  #slots = new Map<string, Slot>()
  #cursor: Iterator<Slot> | null = null
  #first: Slot | null = null

  get size(): number {
    return this.#slots.size
  }

  get(tag: string): Slot | undefined {
    return this.#slots.get(tag)
  }

  values(): IterableIterator<Slot> {
    return this.#slots.values()
  }

  /** Appends a slot whose tag is not here. */
  add(slot: Slot): void {
    this.#slots.set(slot.tag, slot)
  }

  delete(tag: string): void {
    this.#slots.delete(tag)
    if (this.#first?.tag === tag) this.#first = null
    // A table without entries still holds the places of those it had.
    if (this.#slots.size === 0) this.clear()
  }

  clear(): void {
    this.#slots = new Map()
    this.#cursor = null
    this.#first = null
  }

  /** The oldest slot; it stays. */
  first(): Slot | null {
    if (this.#slots.size === 0) return null
    // What the cursor has passed and is still here is only the one it stopped at.
    if (this.#first) return this.#first
    this.#cursor ??= this.#slots.values()
    const { value, done } = this.#cursor.next() as IteratorResult<Slot, undefined>
    this.#first = done ? null : value
    if (!done) return value
    this.#cursor = null
    return this.first()
  }
}
