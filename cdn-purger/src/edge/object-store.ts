import type { Freshness } from './freshness.ts'

/** A stored response. `freshMs` and `storedMs` are monotonic times. */
export interface StoredObject {
  readonly url: string
  readonly status: number
  /** Flat name, value list without hop-by-hop fields, as `writeHead` takes it. */
  headers: string[]
  readonly body: Buffer
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  /** Request fields this variant was selected by, with the values they had. */
  readonly vary: readonly (readonly [name: string, value: string])[]
  tags: readonly string[]
  freshness: Freshness
  storedMs: number
}

/** Tells the age of an object at `nowMs`, ms. */
export function ageOf(object: StoredObject, nowMs: number): number {
  return object.freshness.ageMs + nowMs - object.storedMs
}

// Maps, index entries and the object itself, besides headers and body; measured within a factor of two.
const OVERHEAD_BYTES = 1_024

/** Bounds stored responses by bytes, least recently used first out, and indexes them by URL and surrogate key. */
export class ObjectStore {
  readonly #maxBytes: number
  readonly #sizes = new Map<StoredObject, number>()
  readonly #byUrl = new Map<string, StoredObject[]>()
  readonly #byTag = new Map<string, Set<StoredObject>>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#sizes.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Finds the variant that a request selects and marks it used. */
  find(url: string, field: (name: string) => string): StoredObject | undefined {
    const object = this.#byUrl.get(url)?.find((variant) => variant.vary.every(([name, value]) => field(name) === value))
    const size = object && this.#sizes.get(object)
    if (!object || size === undefined) return undefined
    this.#sizes.delete(object)
    this.#sizes.set(object, size)
    return object
  }

  /** Stores an object in place of the variant that the same request selects. */
  put(object: StoredObject): void {
    const fields = new Map(object.vary)
    const old = this.find(object.url, (name) => fields.get(name) ?? '')
    if (old) this.remove(old)
    const size = OVERHEAD_BYTES + object.body.length + object.headers.reduce((sum, text) => sum + text.length, 0)
    if (size > this.#maxBytes) return
    this.#sizes.set(object, size)
    this.#bytes += size
    const variants = this.#byUrl.get(object.url)
    if (variants) variants.push(object)
    else this.#byUrl.set(object.url, [object])
    this.#index(object)
    for (const [oldest] of this.#sizes) {
      if (this.#bytes <= this.#maxBytes) break
      this.remove(oldest)
    }
  }

  /** Replaces the tags of a stored object. */
  retag(object: StoredObject, tags: readonly string[]): void {
    if (!this.#sizes.has(object)) return
    this.#unindex(object)
    object.tags = tags
    this.#index(object)
  }

  has(object: StoredObject): boolean {
    return this.#sizes.has(object)
  }

  remove(object: StoredObject): void {
    const size = this.#sizes.get(object)
    if (size === undefined) return
    this.#sizes.delete(object)
    this.#bytes -= size
    const left = this.#byUrl.get(object.url)?.filter((variant) => variant !== object) ?? []
    if (left.length > 0) this.#byUrl.set(object.url, left)
    else this.#byUrl.delete(object.url)
    this.#unindex(object)
  }

  removeUrl(url: string): void {
    for (const object of this.#byUrl.get(url) ?? []) this.remove(object)
  }

  /** Removes every object that carries one of the tags; tells how many. */
  purge(tags: readonly string[]): number {
    const objects = this.#tagged(tags)
    for (const object of objects) this.remove(object)
    return objects.size
  }

  /** Ends the lifetime of every object that carries one of the tags; stale answers remain allowed. */
  expire(tags: readonly string[], nowMs: number): number {
    const objects = this.#tagged(tags)
    for (const object of objects) {
      const lifetimeMs = Math.min(object.freshness.lifetimeMs, ageOf(object, nowMs))
      object.freshness = { ...object.freshness, lifetimeMs }
    }
    return objects.size
  }

  purgeAll(): number {
    const count = this.#sizes.size
    this.#sizes.clear()
    this.#byUrl.clear()
    this.#byTag.clear()
    this.#bytes = 0
    return count
  }

  #tagged(tags: readonly string[]): ReadonlySet<StoredObject> {
    return new Set(tags.flatMap((tag) => [...(this.#byTag.get(tag) ?? [])]))
  }

  #index(object: StoredObject): void {
    for (const tag of object.tags) {
      const objects = this.#byTag.get(tag)
      if (objects) objects.add(object)
      else this.#byTag.set(tag, new Set([object]))
    }
  }

  #unindex(object: StoredObject): void {
    for (const tag of object.tags) {
      const objects = this.#byTag.get(tag)
      objects?.delete(object)
      if (objects?.size === 0) this.#byTag.delete(tag)
    }
  }
}
