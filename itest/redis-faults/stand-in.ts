import { performance } from 'node:perf_hooks'
import { createMemoryLog, TOPICS, type EventLog } from '@lockstep/runtime'
import { clockOf, decodeControl, encodeEvent, stampOf } from '@lockstep/schemas'
import type { LogEvent, Lsn, Stamp } from '@lockstep/schemas'

const HEARTBEAT_MS = 50
const TABLE = 'public.items'

/** Rules of the stand-in's only table. */
export const STAND_IN_RULES = `
tables:
  ${TABLE}:
    - tag: item:{id}
`

/** A version of a row and since when it is visible, monotonic ms. */
interface Version {
  readonly version: number
  readonly visibleAt: number
}

/**
 * Stands in for database and connector in one process: commits are visible at once and in the log right after, watermarks
 * carry echoes back. So every read can be judged exactly, and a test of Redis needs nothing but Redis.
 */
export class StandIn {
  /** Keeps every record, as retention does. */
  readonly log: EventLog = createMemoryLog()
  /** Reasons of the generations that were asked for. */
  readonly requests: string[] = []
  readonly #rows = new Map<number, Version[]>()
  readonly #timer: NodeJS.Timeout
  #generation = 1
  #xmax = 1_000n
  #echo = ''
  #sending: Promise<unknown> = Promise.resolve()

  private constructor() {
    this.#timer = setInterval(() => this.#heartbeat(), HEARTBEAT_MS)
  }

  static async start(): Promise<StandIn> {
    const source = new StandIn()
    await source.log.consume({ topic: TOPICS.changes, group: 'keeper' }, () => Promise.resolve())
    await source.log.consume({ topic: TOPICS.control, group: 'connector' }, (batch) => {
      for (const { value } of batch.records) source.#hear(value)
      batch.commit()
      return Promise.resolve()
    })
    source.#flush()
    return source
  }

  /** The newest version of a row; 1 before its first change. */
  versionOf(id: number): number {
    return this.#rows.get(id)?.at(-1)?.version ?? 1
  }

  /** The version that a read begun at `startedAt` must not be older than. */
  dueOf(id: number, startedAt: number, maxStalenessMs: number): number {
    const due = this.#rows.get(id)?.findLast(({ visibleAt }) => visibleAt < startedAt - maxStalenessMs)
    return due?.version ?? 1
  }

  commit(id: number): void {
    this.#xmax += 1n
    const version = this.versionOf(id) + 1
    const row = { id: String(id) }
    this.#rows.set(id, [...(this.#rows.get(id) ?? []).slice(-50), { version, visibleAt: performance.now() }])
    this.#send({
      kind: 'change',
      op: 'update',
      table: TABLE,
      before: row,
      after: row,
      stamp: this.#stamp(),
      commitLsn: this.#xmax as Lsn,
      index: 0,
      xid: this.#xmax,
      commitTimeUs: BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)),
    })
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#sending
    await this.log.close()
  }

  #stamp(): Stamp {
    return stampOf(this.#generation, clockOf({ xmin: this.#xmax, xmax: this.#xmax, xip: [] }))
  }

  #hear(bytes: Buffer): void {
    const message = decodeControl(bytes)
    if (message.kind === 'echo') this.#echo = message.redisTimeUs
    else if (message.above >= this.#generation) {
      this.requests.push(message.reason)
      this.#generation = message.above + 1
      this.#flush()
    }
  }

  #heartbeat(): void {
    this.#send({ kind: 'watermark', stamp: this.#stamp(), lsn: this.#xmax as Lsn, partitions: 1, echo: this.#echo })
  }

  #flush(): void {
    this.#send({ kind: 'flush', generation: this.#generation, reason: 'test', edge: false, partitions: 1 })
  }

  #send(event: LogEvent): void {
    const record = { key: 'k', partition: 0, value: encodeEvent(event) }
    this.#sending = this.log.produce(TOPICS.changes, [record]).catch(() => undefined)
  }
}
