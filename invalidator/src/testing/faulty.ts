import { LockstepError } from '@lockstep/runtime'
import type { EventLog } from '@lockstep/runtime'
import type { FenceWriter } from '../ports.ts'

/** Where a process can die, by the effect that has, or has not, taken place. */
export const CRASH_POINTS = [
  'before advance',
  'after advance',
  'before open',
  'after open',
  'before produce purges',
  'after produce purges',
  'before produce dead-letters',
  'after produce dead-letters',
  'before produce control',
  'after produce control',
] as const

/** Names one crash point. */
export type CrashPoint = (typeof CRASH_POINTS)[number]

/** Decides at each passage of a point whether the call fails there, and how. */
export interface FaultPlan {
  /** @throws what the caller is to see. */
  pass(point: string): void
}

/** Dies once, at the n-th passage of a point; the error is fatal, so the service ends as a process would. */
export class CrashOnce implements FaultPlan {
  hasCrashed = false
  readonly #point: CrashPoint
  #left: number

  constructor(point: CrashPoint, passage: number) {
    this.#point = point
    this.#left = passage
  }

  pass(point: string): void {
    if (this.hasCrashed || point !== this.#point || --this.#left > 0) return
    this.hasCrashed = true
    throw new LockstepError('LOCKSTEP_INV_TEST_CRASH', `crashed ${point}`, { disposition: 'fatal' })
  }
}

/** Fails the next passages of a point as an unreachable server does. */
export class FailNext implements FaultPlan {
  left = 0
  readonly #point: CrashPoint

  constructor(point: CrashPoint) {
    this.#point = point
  }

  pass(point: string): void {
    if (point !== this.#point || this.left === 0) return
    this.left -= 1
    throw new LockstepError('LOCKSTEP_INV_TEST_UNREACHABLE', `failed ${point}`, { disposition: 'transient' })
  }
}

/** Gives a writer another `advance`. */
export function withAdvance(inner: FenceWriter, advance: FenceWriter['advance']): FenceWriter {
  return { advance, open: (flush) => inner.open(flush), redisTimeUs: () => inner.redisTimeUs() }
}

/** Wraps a writer so that each call passes a point before and after it took effect. */
export function faultyWriter(inner: FenceWriter, plan: FaultPlan): FenceWriter {
  const around = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    plan.pass(`before ${name}`)
    const result = await call()
    plan.pass(`after ${name}`)
    return result
  }
  return {
    advance: (batch) => around('advance', () => inner.advance(batch)),
    open: (flush) => around('open', () => inner.open(flush)),
    redisTimeUs: () => inner.redisTimeUs(),
  }
}

/** Wraps a log so that each produce passes a point, named after its topic, before and after it took effect. */
export function faultyLog(inner: EventLog, plan: FaultPlan): EventLog {
  return {
    produce: async (topic, records) => {
      if (records.length === 0) return
      plan.pass(`before produce ${topic}`)
      await inner.produce(topic, records)
      plan.pass(`after produce ${topic}`)
    },
    consume: (options, onBatch) => inner.consume(options, onBatch),
    partitionCount: (topic) => inner.partitionCount(topic),
    close: () => inner.close(),
  }
}
