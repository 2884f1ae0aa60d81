import { TOPICS, createMemoryLog, noMetrics, silentLogger } from '@lockstep/runtime'
import type { EventLog, Subscription } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { decodeControl, decodeEvent, encodeEvent, parseRules, stampOf } from '@lockstep/schemas'
import type { Change, Clock, Columns, ControlMessage, DeadLetter, Flush, LogEvent, Lsn } from '@lockstep/schemas'
import type { PurgeCommand, Stamp, Watermark } from '@lockstep/schemas'
import { Invalidator } from '../invalidator.ts'
import type { UnsafeInvalidatorOptions } from '../invalidator.ts'
import type { FenceWriter } from '../ports.ts'
import { faultyLog, faultyWriter } from './faulty.ts'
import type { FaultPlan } from './faulty.ts'
import { MemoryFenceWriter } from './memory-fence-writer.ts'

/** Rules of the rig: one tag per product, one per category, one for the list. */
export const RULES = parseRules(`
tables:
  public.products:
    - tag: product:{id}
    - tag: category:{category_id}
    - tag: products
      on: [insert, delete]
`)

/** Makes the stamp of a snapshot with this xmax and nothing running. */
export function stampAt(generation: number, xmax: number): Stamp {
  return stampOf(generation, `${xmax.toString(16).padStart(16, '0')}ffff` as Clock)
}

/** Makes an update of one product. */
export function productChange(id: number, stamp: Stamp, more: Partial<Change> & { category?: string } = {}): Change {
  const { category = '1', ...rest } = more
  const row: Columns = { id: String(id), category_id: category }
  return {
    kind: 'change',
    op: 'update',
    table: 'public.products',
    before: row,
    after: row,
    stamp,
    commitLsn: 1n as Lsn,
    index: 0,
    xid: 1n,
    commitTimeUs: 1_700_000_000_000_000n,
    ...rest,
  }
}

/** Makes a watermark. */
export function watermark(stamp: Stamp, echo = '', partitions = 1): Watermark {
  return { kind: 'watermark', stamp, lsn: 1n as Lsn, partitions, echo }
}

/** Makes a flush. */
export function flush(generation: number, more: Partial<Flush> = {}): Flush {
  return { kind: 'flush', generation, reason: 'test', edge: false, partitions: 1, ...more }
}

/** A service over a log and a writer in memory, and everything it sent. */
export class Rig {
  readonly clock = new FakeTime()
  readonly writer: MemoryFenceWriter
  readonly log: EventLog
  readonly purges: PurgeCommand[] = []
  readonly letters: DeadLetter[] = []
  readonly controls: ControlMessage[] = []
  readonly partitions: number
  #running: Invalidator[] = []
  #spies: Subscription[] = []

  private constructor(partitions: number) {
    this.partitions = partitions
    this.writer = new MemoryFenceWriter(() => BigInt(Math.round(this.clock.nowMs() * 1000)))
    this.log = createMemoryLog({ partitions: { [TOPICS.changes]: partitions } })
  }

  /** Creates the log and begins to note what is sent over the other topics. */
  static async create(partitions = 1): Promise<Rig> {
    const rig = new Rig(partitions)
    const spy = async <T>(topic: string, into: T[], decode: (bytes: Buffer) => T): Promise<void> => {
      const subscription = await rig.log.consume({ topic, group: 'spy' }, (batch) => {
        into.push(...batch.records.map(({ value }) => decode(value)))
        batch.commit()
        return Promise.resolve()
      })
      rig.#spies.push(subscription)
    }
    await spy(TOPICS.purges, rig.purges, (bytes) => decodeEvent(bytes) as PurgeCommand)
    await spy(TOPICS.deadLetters, rig.letters, (bytes) => decodeEvent(bytes) as DeadLetter)
    await spy(TOPICS.control, rig.controls, decodeControl)
    return rig
  }

  /** Starts a service; several may run, as replicas of one group. */
  async start(options: { plan?: FaultPlan; unsafe?: UnsafeInvalidatorOptions; writer?: FenceWriter } = {}) {
    const { plan, unsafe, writer = this.writer } = options
    const invalidator = new Invalidator({
      log: plan ? faultyLog(this.log, plan) : this.log,
      writer: plan ? faultyWriter(writer, plan) : writer,
      rules: RULES,
      logger: silentLogger,
      metrics: noMetrics,
      time: this.clock,
      random: () => 0.5,
      echoMs: 50,
      unsafe,
    })
    this.#running.push(invalidator)
    await invalidator.start()
    return invalidator
  }

  /** Appends events, or raw bytes, to one partition. */
  async send(partition: number, ...events: (LogEvent | Buffer)[]): Promise<void> {
    const records = events.map((event) => ({
      key: 'k',
      partition,
      value: Buffer.isBuffer(event) ? event : encodeEvent(event),
    }))
    await this.log.produce(TOPICS.changes, records)
  }

  /** Requests for a generation that were sent so far. */
  get requests() {
    return this.controls.filter((message) => message.kind === 'new-generation')
  }

  /** Tags purged so far. */
  get purgedTags(): string[] {
    return this.purges.map(({ tag }) => tag)
  }

  /** Where `w` says that a partition stands. */
  position(partition = 0): bigint | undefined {
    return this.writer.state.w?.positions.get(partition)
  }

  /** Lets the event loop turn until `condition` holds. @throws Error when 2,000 turns were not enough. */
  async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 2_000; turn++) {
      if (condition()) return
      await nextTurn()
    }
    throw new Error(`condition does not hold: ${condition.toString()}`)
  }

  /** Lets everything that is ready run: nothing is left that only waits for the event loop. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 30; turn++) await nextTurn()
  }

  /** Stops everything. */
  async stop(): Promise<void> {
    await Promise.all(this.#running.map((invalidator) => invalidator.stop()))
    await Promise.all(this.#spies.map((subscription) => subscription.stop()))
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
