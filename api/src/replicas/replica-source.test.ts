import { FakeTime } from '@lockstep/runtime/testing'
import { clockOf, parseLsn, stampOf, type Lsn, type Stamp } from '@lockstep/schemas'
import { beforeEach, describe, expect, test } from 'vitest'
import { ReplicaSource, type Choice, type Replica, type ReplicaSession } from './replica-source.ts'

const stampAt = (n: number, generation = 1): Stamp =>
  stampOf(generation, clockOf({ xmin: BigInt(n), xmax: BigInt(n), xip: [] }))
const lsnAt = (n: number): Lsn => parseLsn(`0/${n.toString(16)}`)

/** A database whose row holds the number of its last commit; position and stamp of commit n are n. */
class FakeReplica implements Replica<() => Promise<number>> {
  readonly name: string
  replayed = 0
  generation: number | null = 1
  isStandby = true
  failure: Error | null = null
  asked = 0
  /** Runs between the question for the position and the read. */
  between: () => void = () => undefined

  constructor(name: string, replayed: number) {
    this.name = name
    this.replayed = replayed
  }

  use<T>(work: (session: ReplicaSession<() => Promise<number>>) => Promise<T>): Promise<T> {
    this.asked += 1
    if (this.failure) return Promise.reject(this.failure)
    return work({
      position: () =>
        Promise.resolve(this.isStandby ? { lsn: lsnAt(this.replayed), generation: this.generation } : null),
      reads: () => {
        this.between()
        return Promise.resolve(this.replayed)
      },
    })
  }
}

describe('api/replica-source', () => {
  let time: FakeTime
  let near: FakeReplica
  let far: FakeReplica
  let choices: Choice[]
  let fences: Map<string, Stamp>
  /** Stamp n was taken at n × 1,000 ms. */
  let newest: number
  let start: number

  beforeEach(() => {
    time = new FakeTime()
    near = new FakeReplica('near', 95)
    far = new FakeReplica('far', 80)
    choices = []
    fences = new Map()
    newest = 100
    start = 0
  })

  const cache = {
    generation: () => 1,
    newestStamp: () => stampAt(newest),
    isOvertaken: (tags: readonly string[], stamp: Stamp) => tags.some((tag) => (fences.get(tag) ?? '') > stamp),
    replayed: (lsn: Lsn) => {
      const n = Math.min(Number(lsn), newest)
      return n < start ? null : { stamp: stampAt(n), ageMs: (newest - n) * 1_000 }
    },
  }
  const sourceOf = (replicas = [far, near], options: { unsafeTrustReplicas?: boolean } = {}) =>
    new ReplicaSource({
      primary: () => Promise.resolve(newest),
      replicas,
      cache,
      time,
      maxLagMs: 30_000,
      chosen: (choice) => choices.push(choice),
      ...options,
    })

  /** One load: the row, the stamp that the value carries (null: as the primary's), and what was chosen. */
  async function load(source: ReturnType<typeof sourceOf>, token: Stamp | null = null) {
    let stamp: Stamp | null = null
    const value = await source.load({
      context: { token, asOf: (of) => (stamp = of) },
      query: (reads) => reads(),
      tagsOf: () => ['row'],
    })
    return { value, stamp, choice: choices.at(-1) }
  }

  test('the replica furthest ahead is read, and the value carries what it had reached', async () => {
    const source = sourceOf()
    await load(source)
    await load(source)
    expect(await load(source)).toEqual({ value: 95, stamp: stampAt(95), choice: 'replica' })
  })

  test('what a replica replays after it was asked is not in the stamp', async () => {
    near.between = () => (near.replayed = 99)
    expect(await load(sourceOf([near]))).toEqual({ value: 99, stamp: stampAt(95), choice: 'replica' })
  })

  test('a token above every replica is read on the primary; with the rule off it is broken', async () => {
    const token = stampAt(97)
    expect(await load(sourceOf(), token)).toEqual({ value: 100, stamp: null, choice: 'lagging' })
    expect(await load(sourceOf([near]), stampAt(95))).toMatchObject({ value: 95, choice: 'replica' })
    const trusting = await load(sourceOf([near], { unsafeTrustReplicas: true }), token)
    expect(trusting.value).toBe(95)
    expect(trusting.stamp).toBe(stampAt(100))
  })

  test('a replica behind a fence of what it has read gives way to the primary', async () => {
    fences.set('row', stampAt(98))
    expect(await load(sourceOf([near]))).toEqual({ value: 100, stamp: null, choice: 'overtaken' })
    fences.set('row', stampAt(90))
    expect(await load(sourceOf([near]))).toMatchObject({ value: 95, choice: 'replica' })
  })

  test('a fence that comes during the read counts', async () => {
    near.between = () => fences.set('row', stampAt(98))
    expect(await load(sourceOf([near]))).toMatchObject({ value: 100, choice: 'overtaken' })
  })

  test('a replica that falls behind its contract during the read gives way', async () => {
    near.between = () => (newest = 130)
    expect(await load(sourceOf([near]))).toMatchObject({ value: 130, choice: 'lagging' })
  })

  test('no replica is read past its lag, on another timeline, promoted, or before this process can judge', async () => {
    for (const spoil of [
      () => (near.replayed = 60),
      () => (near.generation = 0),
      () => (near.generation = null),
      () => (near.isStandby = false),
      () => (start = 96),
    ]) {
      near = new FakeReplica('near', 95)
      start = 0
      spoil()
      expect(await load(sourceOf([near]))).toMatchObject({ value: 100, stamp: null, choice: 'lagging' })
    }
  })

  test('a replica that does not suit costs one question in 100 ms, one that fails one in a second', async () => {
    near.replayed = 10
    const source = sourceOf([near])
    for (let read = 0; read < 5; read++) await load(source)
    expect(near.asked).toBe(1)
    await time.advance(100)
    near.failure = new Error('gone')
    for (let read = 0; read < 5; read++) await load(source)
    expect(near.asked).toBe(2)
    await time.advance(999)
    await load(source)
    expect(near.asked).toBe(2)
    near.failure = null
    near.replayed = 95
    await time.advance(1)
    expect(await load(source)).toMatchObject({ value: 95, choice: 'replica' })
  })
})
