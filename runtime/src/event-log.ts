/** What travels with a record beside its value: texts by name, few and short. */
export type RecordHeaders = Readonly<Record<string, string>>

/** A record to append; without `partition` the key chooses it (murmur2), so one key keeps its order. */
export interface LogRecord {
  /** Text, or its UTF-8 bytes. */
  readonly key: string | Buffer | null
  readonly value: Buffer
  readonly partition?: number | undefined
  readonly headers?: RecordHeaders | undefined
}

export interface ReceivedRecord {
  readonly offset: bigint
  readonly key: string | null
  readonly value: Buffer
  /** Absent where the record has none. */
  readonly headers?: RecordHeaders | undefined
}

/** Consecutive records of one partition. `records` may be empty when the log skipped records that it does not keep. */
export interface LogBatch {
  readonly topic: string
  readonly partition: number
  /**
   * Offset this consumer expected next. The first record's offset is larger only where the log lost records, and smaller
   * only where the log itself was replaced.
   */
  readonly firstOffset: bigint
  /** Offset after the last record. */
  readonly nextOffset: bigint
  /** Offset after the last record that the partition held when these were read: what was there before us ends below it. */
  readonly endOffset: bigint
  readonly records: readonly ReceivedRecord[]
  /**
   * Says that all effects of this batch are durable. Batches may be committed out of order; the log stores only the
   * contiguous prefix per partition. Uncommitted batches are delivered again after a restart or a rebalance.
   */
  commit(): void
  /**
   * Asks for delivery from `offset` again, after the handler returned; nothing at or past it counts as committed. An offset
   * that the log no longer holds shows as a jump in the next batch.
   */
  rewind(offset: bigint): void
}

/** Returning asks for the partition's next batch. A rejection ends the subscription with that error (`closed`). */
export type BatchHandler = (batch: LogBatch, signal: AbortSignal) => Promise<void>

export interface ConsumeOptions {
  readonly topic: string
  /** Members of one group share the partitions; null reads every partition alone, from the end, and never commits. */
  readonly group: string | null
}

export interface Subscription {
  /** Settles when the subscription ended: resolves after `stop`, rejects with what broke it. */
  readonly closed: Promise<void>
  /** Stops intake, waits for running handlers, stores commits, leaves the group. Idempotent. */
  stop(): Promise<void>
}

/** The durable, partitioned log between the services. Topics are logical names; the adapter adds the namespace. */
export interface EventLog {
  /**
   * Appends records in order per partition. Resolves when all in-sync replicas hold them; a rejection means the
   * outcome is unknown and the caller sends them again, which is harmless (`max` is the only operation).
   * Concurrent calls keep call order and may share a request; a rejection rejects every later call that waits too, so
   * that sending again in call order keeps the order per key.
   */
  produce(topic: string, records: readonly LogRecord[]): Promise<void>
  /** Starts delivery; a new group begins at the start of the log. Handlers of different partitions may overlap. */
  consume(options: ConsumeOptions, onBatch: BatchHandler): Promise<Subscription>
  partitionCount(topic: string): Promise<number>
  close(): Promise<void>
}

/** The topics of the pipeline. */
export const TOPICS = {
  changes: 'changes',
  purges: 'purges',
  control: 'control',
  deadLetters: 'dead-letters',
} as const
