import type { LogRecord, ReceivedRecord } from '../event-log.ts'

// Below this many dropped slots, moving the array costs more than it frees.
const COMPACT_AT = 1024

/** Keeps the records of one partition in memory: appended at the end, dropped from the start. */
export class PartitionLog {
  #records: (ReceivedRecord | undefined)[] = []
  #head = 0
  #base = 0n

  /** Offset of the oldest kept record. */
  get base(): bigint {
    return this.#base
  }

  /** Offset that the next record will get. */
  get end(): bigint {
    return this.#base + BigInt(this.#records.length - this.#head)
  }

  append({ key, value, headers }: LogRecord): void {
    const record = { offset: this.end, key: key?.toString() ?? null, value }
    this.#records.push(headers === undefined ? record : { ...record, headers })
  }

  /** Reads up to `limit` records from `offset`, which lies between `base` and `end`. */
  read(offset: bigint, limit: number): ReceivedRecord[] {
    const start = this.#head + Number(offset - this.#base)
    return this.#records.slice(start, start + limit) as ReceivedRecord[]
  }

  /** Forgets every record before `offset`. */
  dropBefore(offset: bigint): void {
    const drop = Number(offset - this.#base)
    if (drop <= 0) return
    this.#records.fill(undefined, this.#head, this.#head + drop)
    this.#head += drop
    this.#base = offset
    if (this.#head < COMPACT_AT || this.#head * 2 < this.#records.length) return
    this.#records = this.#records.slice(this.#head)
    this.#head = 0
  }
}
