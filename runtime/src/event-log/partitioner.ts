import type { LogRecord } from '../event-log.ts'

const SEED = 0x9747b28c
const MULTIPLIER = 0x5bd1e995

/** Hashes as Kafka's Java client does (murmur2, signed 32 bits), so that foreign producers agree on the partition. */
export function murmur2(data: Uint8Array): number {
  let hash = SEED ^ data.length
  const whole = data.length & ~3
  for (let at = 0; at < whole; at += 4) {
    const word = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    let mixed = Math.imul(word, MULTIPLIER)
    mixed = Math.imul(mixed ^ (mixed >>> 24), MULTIPLIER)
    hash = Math.imul(hash, MULTIPLIER) ^ mixed
  }
  const rest = data.length - whole
  if (rest === 3) hash ^= data[whole + 2]! << 16
  if (rest >= 2) hash ^= data[whole + 1]! << 8
  if (rest >= 1) hash = Math.imul(hash ^ data[whole]!, MULTIPLIER)
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER)
  return hash ^ (hash >>> 15)
}

/** Chooses partitions for one topic: the given one, else by key, else in turn. */
export class Partitioner {
  readonly count: number
  #turn = 0

  constructor(count: number) {
    this.count = count
  }

  /** Tells whether the topic has the partition that the record names, if it names one. */
  accepts({ partition = 0 }: LogRecord): boolean {
    return Number.isInteger(partition) && partition >= 0 && partition < this.count
  }

  /** Answers the partition of an accepted record, whose key may be given as bytes already. */
  choose({ partition, key }: LogRecord, keyBytes = keyBytesOf(key)): number {
    if (partition !== undefined) return partition
    if (this.count === 1) return 0
    if (keyBytes === null) return this.#turn++ % this.count
    return (murmur2(keyBytes) & 0x7fffffff) % this.count
  }
}

/** Encodes a record's key. */
export function keyBytesOf(key: LogRecord['key']): Buffer | null {
  return typeof key === 'string' ? Buffer.from(key) : key
}
