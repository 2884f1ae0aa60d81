import type { LocalRecord } from './record.ts'

/** Which record leaves when the memory is full. */
export type EvictionPolicy = 'lru' | 'lfu' | 'fifo' | 'ttl'

/** Keeps the order in which records leave. Every record of a cache is added once and removed once. */
export interface Eviction {
  added(record: LocalRecord): void
  used(record: LocalRecord): void
  removed(record: LocalRecord): void
  /** Another value took the place of the record's. */
  renewed(record: LocalRecord): void
  /** Names the record to leave next; undefined when there is none. */
  victim(): LocalRecord | undefined
}

/** Records in a list, oldest first. */
abstract class ListEviction implements Eviction {
  protected first: LocalRecord | null = null
  protected last: LocalRecord | null = null
  protected size = 0

  added(record: LocalRecord): void {
    this.size += 1
    this.append(record)
  }

  removed(record: LocalRecord): void {
    this.size -= 1
    this.unlink(record)
  }

  abstract used(record: LocalRecord): void

  renewed(record: LocalRecord): void {
    this.unlink(record)
    this.append(record)
  }

  victim(): LocalRecord | undefined {
    return this.first ?? undefined
  }

  protected append(record: LocalRecord): void {
    record.previous = this.last
    record.next = null
    if (this.last) this.last.next = record
    else this.first = record
    this.last = record
  }

  protected unlink(record: LocalRecord): void {
    const { previous, next } = record
    if (previous) previous.next = next
    else this.first = next
    if (next) next.previous = previous
    else this.last = previous
    record.previous = null
    record.next = null
  }
}

/** First in, first out. */
export class FifoEviction extends ListEviction {
  used(): void {
    // The order of arrival is the order of leaving.
  }
}

/** A record moves at most once per this share of the cache's arrivals. */
const LRU_SHARE = 8

/**
 * Least recently used first. A record moves to the end only when an eighth of the cache has arrived since it last did:
 * while nothing arrives nothing leaves, and order within the youngest eighth decides nothing, so most hits write nothing.
 */
export class LruEviction extends ListEviction {
  #arrivals = 0

  override added(record: LocalRecord): void {
    this.#arrivals = (this.#arrivals + 1) | 0
    record.mark = this.#arrivals
    super.added(record)
  }

  used(record: LocalRecord): void {
    if (((this.#arrivals - record.mark) | 0) * LRU_SHARE <= this.size) return
    record.mark = this.#arrivals
    if (record === this.last) return
    this.unlink(record)
    this.append(record)
  }

  override renewed(record: LocalRecord): void {
    this.used(record)
  }
}

/** Records looked at for one that leaves: enough that a popular one is missed with a chance below one in a thousand. */
const LFU_SAMPLE = 16
const LFU_MOST_USES = 255

/** Of the longest unseen records the least often used one leaves; the others' counts are halved, so old fame fades. */
export class LfuEviction extends ListEviction {
  used(record: LocalRecord): void {
    if (record.mark < LFU_MOST_USES) record.mark += 1
  }

  override victim(): LocalRecord | undefined {
    let least = this.first
    let leastUses = Number.POSITIVE_INFINITY
    let record = this.first
    for (let left = Math.min(LFU_SAMPLE, this.size); record && left > 0; left -= 1) {
      const { next, mark } = record
      if (mark < leastUses) {
        least = record
        leastUses = mark
      }
      if (mark > 0) {
        record.mark = mark >> 1
        this.unlink(record)
        this.append(record)
      }
      record = next
    }
    return least ?? undefined
  }
}

/** The one that ends first leaves first: a binary heap by end of life. `mark` is the place in it. */
export class TtlEviction implements Eviction {
  readonly #heap: LocalRecord[] = []

  added(record: LocalRecord): void {
    this.#heap.push(record)
    record.mark = this.#heap.length - 1
    this.#rise(record.mark)
  }

  used(): void {
    // Use prolongs no life.
  }

  removed(record: LocalRecord): void {
    const place = record.mark
    const last = this.#heap.pop()
    if (!last || last === record) return
    this.#put(last, place)
    this.#rise(place)
    this.#sink(last.mark)
  }

  renewed(record: LocalRecord): void {
    this.removed(record)
    this.added(record)
  }

  victim(): LocalRecord | undefined {
    return this.#heap[0]
  }

  #put(record: LocalRecord, place: number): void {
    this.#heap[place] = record
    record.mark = place
  }

  #rise(from: number): void {
    for (let place = from; place > 0;) {
      const parent = (place - 1) >> 1
      if (!this.#swapUnlessOrdered(parent, place)) return
      place = parent
    }
  }

  #sink(from: number): void {
    for (let place = from; ;) {
      const [left, right] = [2 * place + 1, 2 * place + 2]
      const child = this.#endsBefore(right, left) ? right : left
      if (child >= this.#heap.length || !this.#swapUnlessOrdered(place, child)) return
      place = child
    }
  }

  #endsBefore(a: number, b: number): boolean {
    return (this.#heap[a]?.deadAt ?? Number.POSITIVE_INFINITY) < (this.#heap[b]?.deadAt ?? Number.POSITIVE_INFINITY)
  }

  #swapUnlessOrdered(parent: number, child: number): boolean {
    const [above, below] = [this.#heap[parent], this.#heap[child]]
    if (!above || !below || !this.#endsBefore(child, parent)) return false
    this.#put(below, parent)
    this.#put(above, child)
    return true
  }
}

const EVICTIONS: Readonly<Record<EvictionPolicy, new () => Eviction>> = {
  lru: LruEviction,
  lfu: LfuEviction,
  fifo: FifoEviction,
  ttl: TtlEviction,
}

/** Creates the bookkeeping of a policy. */
export function evictionOf(policy: EvictionPolicy): Eviction {
  return new EVICTIONS[policy]()
}
