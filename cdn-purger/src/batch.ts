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

  constructor(limits: RequestLimits) {
    this.#limits = limits
  }

  /**
   * Takes an item if it still fits. A key that is too long for any request goes alone: the provider's refusal then names it.
   */
  offer(item: T): boolean {
    const size = item.key.length + 1
    const { length } = this.items
    if (length > 0 && (length >= this.#limits.maxKeys || this.#bytes + size > this.#limits.maxBytes)) return false
    this.items.push(item)
    this.#bytes += size
    return true
  }
}

/** Splits a refused request in two, to find the key that is at fault in log₂ steps. */
export function bisect<T>(batch: readonly T[]): [T[], T[]] {
  const middle = Math.ceil(batch.length / 2)
  return [batch.slice(0, middle), batch.slice(middle)]
}
