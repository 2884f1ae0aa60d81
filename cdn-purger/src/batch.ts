import type { PurgeLimits } from './ports.ts'

/** Something with a key that counts against the limits of a request. */
export interface Keyed {
  readonly key: string
}

/** Bounds of one request; keys are ASCII, so their characters are bytes. */
export type RequestLimits = Pick<PurgeLimits, 'maxKeys' | 'maxBytes'>

/** A request that is being filled. */
export class Request<T extends Keyed> {
  readonly items: T[] = []
  readonly #limits: RequestLimits
  #bytes = 0
  #isFull = false

  constructor(limits: RequestLimits) {
    this.#limits = limits
  }

  /** No further key was let in, or may be. */
  get isFull(): boolean {
    return this.#isFull || this.items.length >= this.#limits.maxKeys
  }

  /**
   * Takes from `queue` what still fits, in order, and removes it there. A key that is too long for any request goes
   * alone: the provider's refusal then names it.
   */
  fill(queue: Map<string, T>): void {
    const { maxKeys, maxBytes } = this.#limits
    for (const [id, item] of queue) {
      const size = item.key.length + 1
      const { length } = this.items
      if (length > 0 && (length >= maxKeys || this.#bytes + size > maxBytes)) {
        this.#isFull = true
        return
      }
      queue.delete(id)
      this.items.push(item)
      this.#bytes += size
    }
  }
}

/** Takes from `queue` what fits into one request, in order, and removes it there. */
export function takeBatch<T extends Keyed>(queue: Map<string, T>, limits: RequestLimits): T[] {
  const request = new Request<T>(limits)
  request.fill(queue)
  return request.items
}

/** Splits a refused request in two, to find the key that is at fault in log₂ steps. */
export function bisect<T>(batch: readonly T[]): [T[], T[]] {
  const middle = Math.ceil(batch.length / 2)
  return [batch.slice(0, middle), batch.slice(middle)]
}
