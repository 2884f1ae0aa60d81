import { hash } from 'node:crypto'
import { classOf, classTag, encodeSurrogateKey, EVERYTHING, type Tag } from '@lockstep/schemas'

// 144 bits.
const ETAG_CHARS = 24
// Enough for the hot part of a catalogue. Two generations of this many, so at most twice that.
const MAX_ENTRIES = 1_000
const MAX_CHARS = 4 * 1024 * 1024

// Class → its key: a service has as many as its rules name, and each answer needs them.
const classKeys = new Map<string, string>()
const EVERYTHING_KEY = encodeSurrogateKey(EVERYTHING)

function classKeyOf(tag: Tag): string {
  const name = classOf(tag)
  let key = classKeys.get(name)
  if (key === undefined) classKeys.set(name, (key = encodeSurrogateKey(classTag(name))))
  return key
}

/** Writes tags, their classes and `*`, each of which may be purged. */
export function surrogateKeys(tags: readonly string[]): string {
  const keys = new Set<string>()
  for (const tag of tags as readonly Tag[]) keys.add(encodeSurrogateKey(tag))
  for (const tag of tags as readonly Tag[]) keys.add(classKeyOf(tag))
  return [...keys.add(EVERYTHING_KEY)].join(' ')
}

/** Makes the strong ETag of a body. */
export function etagOf(payload: string | Buffer): string {
  return `"${hash('sha256', payload, 'base64url').slice(0, ETAG_CHARS)}"`
}

/** One value as a route answers it: what is the same for every request while the value is. */
export class Rendering {
  readonly body: string
  /** Given to Fastify in place of its serialiser. */
  readonly serialize: () => string
  #etag: string | null = null
  #tags: readonly string[] = []
  #keys = ''

  constructor(body: string) {
    this.body = body
    this.serialize = () => body
  }

  get etag(): string {
    return (this.#etag ??= etagOf(this.body))
  }

  /** One object may be the value of several keys, each with tags of its own. */
  surrogateKeys(tags: readonly string[]): string {
    if (this.#keys === '' || !areEqual(tags, this.#tags)) {
      this.#tags = tags
      this.#keys = surrogateKeys(tags)
    }
    return this.#keys
  }
}

function areEqual(one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false
  for (let index = 0; index < one.length; index++) if (one[index] !== other[index]) return false
  return true
}

/**
 * Remembers how the hot values of one route were answered, so that a hit is not serialised and hashed again. A value counts
 * as the same only while it is the same object, so a newer one is rendered anew. Bounded: what two generations have
 * not asked for is forgotten.
 */
export class Renderings {
  #young = new Map<object, Rendering>()
  #old = new Map<object, Rendering>()
  #chars = 0

  of(value: object, serialize: () => string): Rendering {
    const known = this.#young.get(value)
    if (known !== undefined) return known
    const rendering = this.#old.get(value) ?? new Rendering(serialize())
    if (this.#young.size >= MAX_ENTRIES || this.#chars > MAX_CHARS) {
      this.#old = this.#young
      this.#young = new Map()
      this.#chars = 0
    }
    this.#young.set(value, rendering)
    this.#chars += rendering.body.length
    return rendering
  }
}
