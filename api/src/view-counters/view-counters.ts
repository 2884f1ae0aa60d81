import { retry, type EventLog, type LogBatch, type ReceivedRecord, type TimeSource } from '@lockstep/runtime'
import { bury, type Poison } from '../worker/dead-letters.ts'
import { recordFields } from '../worker/record-fields.ts'
import { productOfView } from './views.ts'

/** Views of one partition, in order of their offsets. */
export interface ViewBatch {
  readonly partition: number
  /** Offset after the last record. */
  readonly next: bigint
  readonly views: readonly { readonly offset: bigint; readonly productId: number }[]
}

/** Where counters live. */
export interface ViewStore {
  /** Those that exist. */
  known(productIds: readonly number[]): Promise<ReadonlySet<number>>
  /**
   * Adds the views at or behind the partition's stored position and moves it to `next`, in one transaction: the same records
   * again, in whatever batches, change nothing. Answers how many were added.
   */
  add(batch: ViewBatch): Promise<number>
}

/** What counting needs. */
export interface ViewCountersDeps {
  readonly store: ViewStore
  readonly log: Pick<EventLog, 'produce'>
  readonly time: TimeSource
  readonly random: () => number
  readonly counted: (views: number) => void
  /** `about`: what the log says of the record. */
  readonly buried: (code: string, about: object) => void
  readonly failed: (error: unknown) => void
}

// A database that comes back is not met by all partitions at once, nor waited for much longer than it was away.
const RETRY = { initialMs: 50, maxMs: 2_000 }

/**
 * Write-behind: counts what the log has accepted, batch by batch. Records that name no product are put aside; everything else
 * waits for the database however long that takes.
 */
export class ViewCounters {
  readonly #deps: ViewCountersDeps

  constructor(deps: ViewCountersDeps) {
    this.#deps = deps
  }

  /** Handles one batch; commits it when every effect is durable. */
  async handle(batch: LogBatch, signal: AbortSignal): Promise<void> {
    const { store, log, time, random, counted, buried, failed } = this.#deps
    await retry(
      async () => {
        const { views, poison } = await this.#judge(batch.records)
        await bury(log, batch, poison)
        counted(await store.add({ partition: batch.partition, next: batch.nextOffset, views }))
        for (const { code, record } of poison) buried(code, recordFields(batch, record))
      },
      { policy: { ...RETRY, random }, signal, sleep: (ms, abort) => time.sleep(ms, abort), onRetry: failed },
    )
    batch.commit()
  }

  async #judge(records: readonly ReceivedRecord[]) {
    const read = records.map((record) => ({ record, productId: productOfView(record.value) }))
    const ids = new Set(read.flatMap(({ productId }) => productId ?? []))
    const known = await this.#deps.store.known([...ids])
    const views: { offset: bigint; productId: number }[] = []
    const poison: Poison[] = []
    for (const { record, productId } of read) {
      if (productId === null)
        poison.push({ record, code: 'LOCKSTEP_API_VIEW_UNREADABLE', message: 'the record is no product id' })
      else if (known.has(productId)) views.push({ offset: record.offset, productId })
      else poison.push({ record, code: 'LOCKSTEP_API_UNKNOWN_PRODUCT', message: `there is no product ${productId}` })
    }
    return { views, poison }
  }
}
