import { classOf, type Tag } from '@lockstep/schemas'

interface Tagged {
  readonly keys: Set<string>
  /** The tag alone as a list: records that have no other share it. */
  readonly alone: readonly string[]
}

const NO_TAGS: readonly string[] = []

/** Which keys depend on a tag besides their own. */
export class TagIndex {
  readonly #tagged = new Map<string, Tagged>()

  /** Notes the tags of a key, its own first; answers the others, shared where possible. */
  add(key: string, tags: readonly string[]): readonly string[] {
    if (tags.length === 1) return NO_TAGS
    const others = tags.slice(1)
    const entries = others.map((tag) => this.#entry(tag))
    for (const { keys } of entries) keys.add(key)
    return entries.length === 1 ? (entries[0]?.alone ?? others) : entries.map(({ alone }) => alone[0] ?? '')
  }

  remove(key: string, others: readonly string[]): void {
    for (const tag of others) {
      const tagged = this.#tagged.get(tag)
      if (tagged?.keys.delete(key) && tagged.keys.size === 0) this.#tagged.delete(tag)
    }
  }

  /** Tells whether keys depend on exactly this tag. */
  has(tag: string): boolean {
    return this.#tagged.has(tag)
  }

  /** Keys that depend on exactly this tag. */
  keys(tag: string): Iterable<string> {
    return this.#tagged.get(tag)?.keys ?? NO_TAGS
  }

  /** Keys that depend on a tag of the class. Walks all tags: classes are fenced rarely. */
  *keysOfClass(tagClass: string): Iterable<string> {
    for (const [tag, { keys }] of this.#tagged) {
      if (classOf(tag as Tag) === tagClass) yield* keys
    }
  }

  clear(): void {
    this.#tagged.clear()
  }

  #entry(tag: string): Tagged {
    let tagged = this.#tagged.get(tag)
    if (!tagged) this.#tagged.set(tag, (tagged = { keys: new Set(), alone: [tag] }))
    return tagged
  }
}
