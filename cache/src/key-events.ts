import { channel } from 'node:diagnostics_channel'

/** What may happen to one key in this process. Hits are counted, not told. */
export type KeyEventKind = 'from-redis' | 'loaded' | 'load-failed' | 'stored' | 'rejected' | 'refresh' | 'fenced'

/** One thing that happened to a key. */
export interface KeyEvent {
  readonly kind: KeyEventKind
  /** Monotonic ms. */
  readonly at: number
  /** Stamp of the value or of the fence, where there is one. */
  readonly stamp: string | null
}

/** What subscribers of `lockstep:cache:key` get. */
export interface KeyMessage extends KeyEvent {
  readonly key: string
}

/** Events kept per key. */
const PER_KEY = 32

const messages = channel('lockstep:cache:key')

/**
 * The last events of a bounded number of keys, for `explain`; tells `diagnostics_channel` subscribers as well. Each key has a
 * row in arrays that all share: every miss writes some, and objects of their own would outlive minor collections.
 */
export class KeyEvents {
  readonly #now: () => number
  readonly #maxKeys: number
  readonly #rows = new Map<string, number>()
  /** The key of each row, and how many events it has had. */
  readonly #keys: string[] = []
  readonly #counts: number[] = []
  readonly #kinds: KeyEventKind[] = []
  readonly #times: number[] = []
  readonly #stamps: (string | null)[] = []
  #nextRow = 0

  constructor(now: () => number, maxKeys: number) {
    this.#now = now
    this.#maxKeys = maxKeys
  }

  /** Notes an event; a key that is new pushes out the one that was new longest ago. */
  note(key: string, kind: KeyEventKind, stamp: string | null): void {
    const at = this.#now()
    if (messages.hasSubscribers) messages.publish({ key, kind, at, stamp } satisfies KeyMessage)
    if (this.#maxKeys === 0) return
    const row = this.#rows.get(key) ?? this.#begin(key)
    const count = this.#counts[row] ?? 0
    const place = placeOf(row, count)
    this.#kinds[place] = kind
    this.#times[place] = at
    this.#stamps[place] = stamp
    this.#counts[row] = count + 1
  }

  /** Notes what happens too often to begin with: of keys that are known, or where somebody listens. Most fences name no key. */
  noteKnown(key: string, kind: KeyEventKind, stamp: string): void {
    if (messages.hasSubscribers || this.#rows.has(key)) this.note(key, kind, stamp)
  }

  /** Answers the last events of a key, oldest first. */
  of(key: string): readonly KeyEvent[] {
    const row = this.#rows.get(key)
    if (row === undefined) return []
    const count = this.#counts[row] ?? 0
    const kept = Math.min(count, PER_KEY)
    return Array.from({ length: kept }, (_, index) => {
      const place = placeOf(row, count - kept + index)
      return { kind: this.#kinds[place] ?? 'loaded', at: this.#times[place] ?? 0, stamp: this.#stamps[place] ?? null }
    })
  }

  #begin(key: string): number {
    const row = this.#nextRow
    this.#nextRow = (row + 1) % this.#maxKeys
    const previous = this.#keys[row]
    if (previous !== undefined) this.#rows.delete(previous)
    else this.#addRow()
    this.#rows.set(key, row)
    this.#keys[row] = key
    this.#counts[row] = 0
    return row
  }

  /** Without holes, or V8 might keep the arrays as dictionaries. */
  #addRow(): void {
    for (let n = 0; n < PER_KEY; n++) {
      this.#kinds.push('loaded')
      this.#times.push(0)
      this.#stamps.push(null)
    }
  }
}

function placeOf(row: number, count: number): number {
  return row * PER_KEY + (count % PER_KEY)
}
