import type { PurgeLimits } from './ports.ts'

/** Something with a key that counts against the limits of a request. */
export interface Keyed {
  readonly key: string
}

/**
 * Takes from `queue` what fits into one request, in order, and removes it there. A key that is too long for any
 * request goes alone: the provider's refusal then names it.
 */
export function takeBatch<T extends Keyed>(queue: Map<string, T>, limits: PurgeLimits): T[] {
  const batch: T[] = []
  let bytes = 0
  for (const [id, item] of queue) {
    const size = Buffer.byteLength(item.key) + 1
    if (batch.length > 0 && (batch.length >= limits.maxKeys || bytes + size > limits.maxBytes)) break
    queue.delete(id)
    batch.push(item)
    bytes += size
  }
  return batch
}

/** Splits a refused request in two, to find the key that is at fault in log₂ steps. */
export function bisect<T>(batch: readonly T[]): [T[], T[]] {
  const middle = Math.ceil(batch.length / 2)
  return [batch.slice(0, middle), batch.slice(middle)]
}
