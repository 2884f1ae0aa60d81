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

/** The last events of one key, in a ring. */
class LastEvents {
  readonly #events: KeyEvent[] = []
  #oldest = 0

  note(event: KeyEvent): void {
    if (this.#events.length < PER_KEY) {
      this.#events.push(event)
      return
    }
    this.#events[this.#oldest] = event
    this.#oldest = (this.#oldest + 1) % PER_KEY
  }

  inOrder(): readonly KeyEvent[] {
    return [...this.#events.slice(this.#oldest), ...this.#events.slice(0, this.#oldest)]
  }
}

/** The last events of a bounded number of keys, for `explain`; tells `diagnostics_channel` subscribers as well. */
export class KeyEvents {
  readonly #now: () => number
  readonly #maxKeys: number
  readonly #byKey = new Map<string, LastEvents>()
  /** Stands at the oldest key; see `Mirror`. */
  readonly #oldest = this.#byKey.keys()

  constructor(now: () => number, maxKeys: number) {
    this.#now = now
    this.#maxKeys = maxKeys
  }

  /** Notes an event; a key that is new pushes out the one that was new longest ago. */
  note(key: string, kind: KeyEventKind, stamp: string | null): void {
    const event: KeyEvent = { kind, at: this.#now(), stamp }
    if (messages.hasSubscribers) messages.publish({ key, ...event } satisfies KeyMessage)
    let events = this.#byKey.get(key)
    if (!events) {
      if (this.#maxKeys === 0) return
      if (this.#byKey.size >= this.#maxKeys) this.#byKey.delete(this.#oldest.next().value ?? '')
      this.#byKey.set(key, (events = new LastEvents()))
    }
    events.note(event)
  }

  /** Notes what happens too often to begin with: of keys that are known, or where somebody listens. Most fences name no key. */
  noteKnown(key: string, kind: KeyEventKind, stamp: string): void {
    if (messages.hasSubscribers || this.#byKey.has(key)) this.note(key, kind, stamp)
  }

  /** Answers the last events of a key, oldest first. */
  of(key: string): readonly KeyEvent[] {
    return this.#byKey.get(key)?.inOrder() ?? []
  }
}
