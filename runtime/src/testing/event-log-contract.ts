import { afterEach, describe, expect, test } from 'vitest'
import type { EventLog, LogBatch, LogRecord, Subscription } from '../event-log.ts'
import { waitFor } from './wait-for.ts'

/** Gives one test its log; every log of a target sees the same topics. */
export interface EventLogTarget {
  /** Creates a topic of its own for one test and answers its logical name. */
  createTopic(partitions: number): Promise<string>
  /** Opens a log; each further one stands for another process. */
  open(): Promise<EventLog>
  close(): Promise<void>
}

/** Says what differs between adapters. */
export interface EventLogContractOptions {
  /** Longest wait for a delivery, ms. */
  readonly deadlineMs: number
}

/** Collects what one consumer received. */
class Collector {
  readonly batches: LogBatch[] = []
  readonly onBatch: (batch: LogBatch) => Promise<void>
  readonly values = new Map<number, string[]>()

  constructor(after: (batch: LogBatch) => void | Promise<void> = (batch) => batch.commit()) {
    this.onBatch = async (batch) => {
      this.batches.push(batch)
      const seen = this.values.get(batch.partition) ?? []
      seen.push(...batch.records.map((record) => record.value.toString()))
      this.values.set(batch.partition, seen)
      await after(batch)
    }
  }

  /** All values, partition after partition. */
  get all(): string[] {
    return [...this.values.values()].flat()
  }

  /** Distinct values: deliveries may repeat. */
  get distinct(): Set<string> {
    return new Set(this.all)
  }
}

const record = (value: string, key: string | null = null, partition?: number): LogRecord => ({
  key,
  value: Buffer.from(value),
  partition,
})
const numbered = (count: number, key: string | null = 'k'): LogRecord[] =>
  Array.from({ length: count }, (_, index) => record(String(index), key))
const names = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))

/** Registers the laws that every EventLog keeps; each adapter runs them against its real backend. */
export function registerEventLogContract(
  name: string,
  createTarget: () => Promise<EventLogTarget>,
  { deadlineMs }: EventLogContractOptions,
): void {
  describe(`${name} keeps the event log contract`, () => {
    const opened: { log: EventLog; subscriptions: Subscription[]; target: EventLogTarget }[] = []

    const start = async (partitions: number) => {
      const target = await createTarget()
      const topic = await target.createTopic(partitions)
      const log = await target.open()
      const subscriptions: Subscription[] = []
      opened.push({ log, subscriptions, target })
      const consume = async (group: string | null, collector: Collector, from: EventLog = log) => {
        const subscription = await from.consume({ topic, group }, collector.onBatch)
        subscriptions.push(subscription)
        return subscription
      }
      const produce = (...records: LogRecord[]) => log.produce(topic, records)
      return { target, topic, log, consume, produce }
    }
    const until = (condition: () => boolean) => waitFor(condition, deadlineMs)

    afterEach(async () => {
      for (const { log, subscriptions, target } of opened.splice(0)) {
        await Promise.all(subscriptions.map((subscription) => subscription.stop()))
        await log.close()
        await target.close()
      }
    })

    test('records of one key arrive in the order of sending, in one partition', async () => {
      const { consume, produce } = await start(3)
      const seen = new Collector()
      await consume('g', seen)
      for (let index = 0; index < 20; index++) await produce(record(`a${index}`, 'a'), record(`b${index}`, 'b'))
      await until(() => seen.all.length === 40)
      const withA = [...seen.values.values()].filter((values) => values.some((value) => value.startsWith('a')))
      expect(withA).toHaveLength(1)
      for (const key of ['a', 'b']) {
        const order = seen.all.filter((value) => value.startsWith(key))
        expect(order).toEqual(names(20).map((index) => `${key}${index}`))
      }
    })

    test('headers arrive as they were sent, and with no other record', async () => {
      const { consume, produce } = await start(1)
      const seen = new Collector()
      await consume('g', seen)
      const headers = { traceparent: '00-ab-cd-01', tracestate: '', größe: '£'.repeat(300) }
      await produce({ ...record('a'), headers }, record('b'), { ...record('c'), headers: {} })
      await until(() => seen.all.length === 3)
      const received = seen.batches.flatMap(({ records }) => records)
      expect(received.map((each) => each.headers ?? {})).toEqual([headers, {}, {}])
      expect(received[1]).not.toHaveProperty('headers')
    })

    test('an explicit partition decides, and partitionCount tells how many there are', async () => {
      const { consume, produce, log, topic } = await start(3)
      const seen = new Collector()
      await consume('g', seen)
      await produce(record('x', 'k', 0), record('y', 'k', 1), record('z', 'k', 2))
      await until(() => seen.all.length === 3)
      expect([0, 1, 2].map((partition) => seen.values.get(partition))).toEqual([['x'], ['y'], ['z']])
      expect(await log.partitionCount(topic)).toBe(3)
      await expect(produce(record('x', 'k', 3))).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_PARTITION' })
    })

    test('keys, null keys and bytes arrive unchanged, with consecutive offsets', async () => {
      const { consume, produce } = await start(1)
      const seen = new Collector()
      await consume('g', seen)
      const bytes = Buffer.from([0, 255, 1, 254])
      await produce({ key: 'ключ', value: bytes }, { key: null, value: Buffer.alloc(0) })
      await until(() => seen.all.length === 2)
      const records = seen.batches.flatMap((batch) => batch.records)
      expect(records.map(({ key, offset }) => [key, offset])).toEqual([
        ['ключ', 0n],
        [null, 1n],
      ])
      expect(records[0]?.value.equals(bytes)).toBe(true)
      expect(records[1]?.value).toHaveLength(0)
    })

    test('batches join without holes: each begins where its predecessor ended', async () => {
      const { consume, produce } = await start(1)
      const seen = new Collector()
      await consume('g', seen)
      for (let round = 0; round < 5; round++) await produce(...numbered(300))
      await until(() => seen.all.length === 1500)
      let next = 0n
      for (const batch of seen.batches) {
        expect(batch.firstOffset).toBe(next)
        expect(batch.records[0]?.offset ?? next).toBe(next)
        expect(batch.nextOffset).toBe(next + BigInt(batch.records.length))
        expect(batch.records.length).toBeLessThanOrEqual(500)
        next = batch.nextOffset
      }
    })

    test('the first batch tells how much the log held before it', async () => {
      const { consume, produce } = await start(1)
      await produce(...numbered(1_200))
      const seen = new Collector()
      await consume('g', seen)
      await until(() => seen.all.length === 1_200)
      expect(seen.batches[0]?.endOffset).toBe(1_200n)
      for (const { nextOffset, endOffset } of seen.batches) expect(endOffset).toBeGreaterThanOrEqual(nextOffset)
    })

    test('a new group begins at the start of the log', async () => {
      const { consume, produce } = await start(1)
      await produce(...numbered(10))
      const seen = new Collector()
      await consume('g', seen)
      await until(() => seen.all.length === 10)
      expect(seen.all).toEqual(names(10))
    })

    test('what was committed is not delivered again, what was not is', async () => {
      const { consume, produce } = await start(1)
      const first = new Collector((batch) => {
        if (batch.records.some((item) => item.value.toString() === '0')) batch.commit()
      })
      const subscription = await consume('g', first)
      await produce(record('0'))
      await until(() => first.all.length === 1)
      await produce(record('1'))
      await until(() => first.all.length === 2)
      await subscription.stop()
      await subscription.closed
      const second = new Collector()
      await consume('g', second)
      await produce(record('2'))
      await until(() => second.all.length === 2)
      expect(second.all).toEqual(['1', '2'])
    })

    test('a commit after its successor never makes the log skip: only the contiguous prefix counts', async () => {
      const { consume, produce } = await start(1)
      const first = new Collector((batch) => {
        if (batch.firstOffset > 0n) batch.commit()
      })
      const subscription = await consume('g', first)
      await produce(record('0'))
      await until(() => first.all.length === 1)
      await produce(record('1'))
      await until(() => first.all.length === 2)
      await subscription.stop()
      const second = new Collector()
      const next = await consume('g', second)
      await until(() => second.all.length === 2)
      expect(second.all).toEqual(['0', '1'])
      await next.stop()
      const third = new Collector()
      await consume('g', third)
      await produce(record('2'))
      await until(() => third.all.length === 1)
      expect(third.all).toEqual(['2'])
    })

    test('commits in reverse order count once the gap is closed', async () => {
      const { consume, produce } = await start(1)
      const first = new Collector(() => undefined)
      const subscription = await consume('g', first)
      await produce(record('0'))
      await until(() => first.all.length === 1)
      await produce(record('1'))
      await until(() => first.all.length === 2)
      for (const batch of first.batches.toReversed()) batch.commit()
      await subscription.stop()
      const second = new Collector()
      await consume('g', second)
      await produce(record('2'))
      await until(() => second.all.length === 1)
      expect(second.all).toEqual(['2'])
    })

    test('a rejected handler ends its subscription with that error, and its records are delivered again', async () => {
      const { consume, produce } = await start(1)
      const broken = new Error('broken on purpose')
      const failing = await consume('g', new Collector(() => Promise.reject(broken)))
      await produce(record('0'))
      await expect(failing.closed).rejects.toBe(broken)
      await failing.stop()
      const second = new Collector()
      await consume('g', second)
      await until(() => second.all.length === 1)
      expect(second.all).toEqual(['0'])
    })

    test('a rejected handler of one group does not stop another group', async () => {
      const { consume, produce } = await start(1)
      const failing = await consume('bad', new Collector(() => Promise.reject(new Error('broken on purpose'))))
      const seen = new Collector()
      await consume('good', seen)
      await produce(record('0'))
      await expect(failing.closed).rejects.toThrow('broken on purpose')
      await produce(record('1'))
      await until(() => seen.all.length === 2)
      expect(seen.all).toEqual(['0', '1'])
    })

    test('rewind delivers from its offset again, and nothing at or past it counts as committed', async () => {
      const { consume, produce } = await start(1)
      let rewinds = 0
      const rewinding = new Collector((batch) => {
        if (batch.nextOffset === 10n && rewinds++ < 2) batch.rewind(4n)
        batch.commit()
        if (rewinds === 2) throw new Error('broken on purpose')
      })
      const failing = await consume('g', rewinding)
      await produce(...numbered(10))
      await expect(failing.closed).rejects.toThrow('broken on purpose')
      expect(rewinding.all.slice(10)).toEqual(['4', '5', '6', '7', '8', '9'])
      const last = new Collector()
      await consume('g', last)
      await until(() => last.all.length === 6)
      expect(last.batches[0]?.firstOffset).toBe(4n)
    })

    test('two groups read everything independently', async () => {
      const { consume, produce } = await start(2)
      const [slow, fast] = [new Collector(() => undefined), new Collector()]
      await consume('one', slow)
      await consume('two', fast)
      await produce(record('0', 'k', 0), record('1', 'k', 1))
      await until(() => slow.all.length === 2 && fast.all.length === 2)
      expect(fast.distinct).toEqual(new Set(['0', '1']))
      expect(slow.distinct).toEqual(new Set(['0', '1']))
    })

    test('members of one group share the partitions and hand them over when one leaves', async () => {
      const { consume, produce, target } = await start(4)
      const other = await target.open()
      const [left, right] = [new Collector(), new Collector()]
      const leaving = await consume('g', left)
      await consume('g', right, other)
      const everywhere = (round: number) =>
        [0, 1, 2, 3].map((partition) => record(`${round}-${partition}`, null, partition))
      let round = 0
      const partitionsOf = (collector: Collector, from: number) =>
        new Set(collector.batches.slice(from).map((batch) => batch.partition))
      // Until both have joined one may read everything: rounds go on until the latest are shared.
      await waitFor(async () => {
        const from = [left.batches.length, right.batches.length] as const
        await produce(...everywhere(round++))
        await until(() => new Set([...left.distinct, ...right.distinct]).size === round * 4)
        return partitionsOf(left, from[0]).size === 2 && partitionsOf(right, from[1]).size === 2
      }, deadlineMs * 2)
      await leaving.stop()
      await produce(...everywhere(round++))
      await until(() => new Set([...left.distinct, ...right.distinct]).size === round * 4)
      const rest = right.batches.length
      await produce(...everywhere(round++))
      await until(() => partitionsOf(right, rest).size === 4)
      expect(partitionsOf(left, 0).size).toBeGreaterThanOrEqual(2)
      await other.close()
    })

    test('a reader without group sees what is sent after consume resolved, in every partition, and nothing older', async () => {
      const { consume, produce } = await start(3)
      await produce(record('old', null, 0), record('old', null, 1))
      const [one, two] = [new Collector(() => undefined), new Collector(() => undefined)]
      await consume(null, one)
      await consume(null, two)
      await produce(record('0', null, 0), record('1', null, 1), record('2', null, 2))
      await until(() => one.all.length === 3 && two.all.length === 3)
      expect(one.distinct).toEqual(new Set(['0', '1', '2']))
      expect(two.distinct).toEqual(new Set(['0', '1', '2']))
    })

    test('concurrent produce calls keep call order', async () => {
      const { consume, produce } = await start(1)
      const seen = new Collector()
      await consume('g', seen)
      await Promise.all(numbered(2000).map((item) => produce(item)))
      await until(() => seen.all.length === 2000)
      expect(seen.all).toEqual(names(2000))
    })

    test('one partition has one handler at a time, and a busy partition does not hold up another', async () => {
      const { consume, produce } = await start(2)
      let release = (): void => undefined
      const gate = new Promise<void>((resolve) => (release = resolve))
      const overlaps: number[] = []
      let running = 0
      const seen = new Collector(async (batch) => {
        if (batch.partition === 0) {
          running += 1
          overlaps.push(running)
          await gate
          running -= 1
        }
        batch.commit()
      })
      await consume('g', seen)
      await produce(record('a', null, 0))
      await until(() => seen.all.length === 1)
      await produce(record('b', null, 0), record('c', null, 1))
      await produce(record('d', null, 1))
      await until(() => seen.values.get(1)?.length === 2)
      expect(seen.values.get(0)).toEqual(['a'])
      release()
      await until(() => seen.all.length === 4)
      expect(seen.values.get(0)).toEqual(['a', 'b'])
      expect(overlaps).toEqual([1, 1])
    })

    test('stop tells the running handler, waits for it, stores its commit, and is idempotent', async () => {
      const { consume, produce, log, topic } = await start(1)
      const steps: string[] = []
      const subscription = await log.consume({ topic, group: 'g' }, async (batch, signal) => {
        steps.push('begins')
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        batch.commit()
        steps.push('ends')
      })
      await produce(record('0'))
      await until(() => steps.length === 1)
      await Promise.all([subscription.stop(), subscription.stop()])
      expect(steps).toEqual(['begins', 'ends'])
      await expect(subscription.closed).resolves.toBeUndefined()
      await subscription.stop()
      const second = new Collector()
      await consume('g', second)
      await produce(record('1'))
      await until(() => second.all.length === 1)
      expect(second.all).toEqual(['1'])
    })

    test('a closed log stops its subscriptions and refuses new work', async () => {
      const { consume, produce, log, topic } = await start(1)
      const subscription = await consume('g', new Collector())
      await log.close()
      await expect(subscription.closed).resolves.toBeUndefined()
      await expect(produce(record('0'))).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_CLOSED' })
      const refused = log.consume({ topic, group: 'g' }, () => Promise.resolve())
      await expect(refused).rejects.toMatchObject({ code: 'LOCKSTEP_LOG_CLOSED' })
    })
  })
}
