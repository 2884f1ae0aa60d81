import { createMemoryLog, noMetrics, silentLogger, TOPICS } from '@lockstep/runtime'
import type { EventLog } from '@lockstep/runtime'
import { FakeTime, settle } from '@lockstep/runtime/testing'
import { decodeEvent } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { createPurgerMetrics } from './metrics.ts'
import type { ProcessAcks } from './ports.ts'
import { createPurger } from './purger.ts'
import type { PurgerOptions } from './purger.ts'
import { commandRecord } from './testing/commands.ts'
import { FakeEdge } from './testing/fake-edge.ts'

const OPTIONS: PurgerOptions = {
  group: 'purgers',
  maxStalenessMs: 5_000,
  reboundMs: 2_000,
  barrierPollMs: 3,
  maxBacklogKeys: 1_000,
  drainMs: 0,
}

interface Parts {
  readonly log?: EventLog
  readonly tiers?: readonly (readonly FakeEdge[])[]
  readonly acks?: ProcessAcks
  readonly concurrency?: number
  readonly options?: Partial<PurgerOptions>
}

async function start({ log = createMemoryLog(), tiers, acks, concurrency = 2, options = {} }: Parts = {}) {
  const time = new FakeTime()
  const edge = new FakeEdge({ limits: { concurrency } })
  const purger = createPurger({
    log,
    tiers: tiers ?? [[edge]],
    acks: acks ?? null,
    time,
    random: () => 0.5,
    logger: silentLogger,
    metrics: createPurgerMetrics(noMetrics, time),
    options: { ...OPTIONS, ...options },
  })
  await purger.start()
  const send = async (...tags: string[]) => {
    await log.produce(
      TOPICS.purges,
      tags.map((tag) => commandRecord({ tag })),
    )
    await settle()
  }
  const sentKeys = () => edge.requests.map(({ keys }) => (keys === 'everything' ? keys : keys.join(' ')))
  return { log, time, edge, purger, send, sentKeys }
}

/** Reads what a new member of the group would be given: everything uncommitted. */
async function redelivered(log: EventLog): Promise<string[]> {
  const tags: string[] = []
  const subscription = await log.consume({ topic: TOPICS.purges, group: OPTIONS.group }, (batch) => {
    for (const { value } of batch.records) {
      const event = decodeEvent(value)
      if (event.kind === 'purge') tags.push(event.tag)
    }
    return Promise.resolve()
  })
  await settle()
  await subscription.stop()
  return tags
}

async function deadLetters(log: EventLog): Promise<string[]> {
  const messages: string[] = []
  const subscription = await log.consume({ topic: TOPICS.deadLetters, group: 'look' }, (batch) => {
    for (const { value } of batch.records) {
      const event = decodeEvent(value)
      if (event.kind === 'dead-letter') messages.push(`${event.code} ${event.topic}/${event.partition}@${event.offset}`)
    }
    return Promise.resolve()
  })
  await settle()
  await subscription.stop()
  return messages
}

describe('cdn-purger/purger', () => {
  test('a command is purged at once, again after reboundMs, and only then committed', async () => {
    const { log, time, purger, send, sentKeys } = await start()
    await send('product:1')
    expect(sentKeys()).toEqual(['product.1'])
    await time.advance(1_990)
    expect(sentKeys()).toEqual(['product.1'])
    await time.advance(140)
    expect(sentKeys()).toEqual(['product.1', 'product.1'])
    await purger.stop()
    expect(await redelivered(log)).toEqual([])
  })

  test('a kill between purge and commit delivers the command again, and it is purged again', async () => {
    const { log, time, purger, send } = await start()
    await send('product:1')
    await time.advance(1_000)
    await purger.stop()
    const second = await start({ log })
    await settle()
    expect(second.sentKeys()).toEqual(['product.1'])
    await second.time.advance(2_140)
    await second.purger.stop()
    expect(await redelivered(log)).toEqual([])
  })

  test('what arrives while requests are in flight becomes one batch, with each tag once', async () => {
    const { time, edge, purger, send, sentKeys } = await start({ concurrency: 1 })
    const gate = edge.hold()
    await send('a:1')
    await send('a:2', 'a:3')
    await send('a:3', 'a:4')
    expect(sentKeys()).toEqual(['a.1'])
    gate.release()
    await time.advance(1)
    expect(sentKeys()).toEqual(['a.1', 'a.2 a.3 a.4'])
    await purger.stop()
  })

  test('no request exceeds the limits of its provider, and no key is lost', async () => {
    const narrow = new FakeEdge({ limits: { maxKeys: 7, maxBytes: 40 } })
    const { purger, send } = await start({ tiers: [[narrow]] })
    const tags = Array.from({ length: 50 }, (_, index) => `product:${index}`)
    await send(...tags)
    const batches = narrow.requests.map(({ keys }) => (keys === 'everything' ? [] : keys))
    expect(batches.flat().toSorted()).toEqual(tags.map((tag) => tag.replace(':', '.')).toSorted())
    for (const keys of batches) expect(keys.join(' ').length).toBeLessThanOrEqual(40)
    for (const keys of batches) expect(keys.length).toBeLessThanOrEqual(7)
    await purger.stop()
  })

  test('a response that was in flight during the purge is caught by the rebound', async () => {
    const { time, edge, purger, send } = await start()
    edge.set('/p', { body: 'new', tags: ['product.1'] })
    await send('product:1')
    edge.keepStale('/p', { body: 'old', tags: ['product.1'] })
    await time.advance(2_140)
    expect(edge.read('/p').body).toBe('new')
    await purger.stop()
  })

  test('without the rebound it stays (the protection is what removes it)', async () => {
    const { log, time, edge, purger, send } = await start({ options: { unsafe: { skipRebound: true } } })
    edge.set('/p', { body: 'new', tags: ['product.1'] })
    await send('product:1')
    edge.keepStale('/p', { body: 'old', tags: ['product.1'] })
    await time.advance(60_000)
    expect(edge.read('/p').body).toBe('old')
    await purger.stop()
    expect(await redelivered(log)).toEqual([])
  })

  test('a newer purge of a tag has its rebound in place of the pending one, and commits both batches', async () => {
    const { log, time, purger, send, sentKeys } = await start()
    await send('product:1')
    await time.advance(1_500)
    await send('product:1')
    await time.advance(1_900)
    expect(sentKeys()).toHaveLength(2)
    await time.advance(330)
    expect(sentKeys()).toHaveLength(3)
    await purger.stop()
    expect(await redelivered(log)).toEqual([])
  })

  test('a newer purge that comes before reboundMs settles nothing: a kill then delivers both commands again', async () => {
    const { log, time, purger, send } = await start()
    await send('product:1')
    await time.advance(1_500)
    await send('product:1')
    await time.advance(1_000)
    await purger.stop()
    expect(await redelivered(log)).toEqual(['product:1', 'product:1'])
  })

  test('a tag purged without pause still commits its early batches', async () => {
    const { log, time, purger, send } = await start()
    for (let round = 0; round < 60; round++) {
      await send('hot:1')
      await time.advance(100)
    }
    await purger.stop()
    const left = await redelivered(log)
    expect(left.length).toBeGreaterThan(0)
    // 6 s of purges; nothing older than twice reboundMs may wait.
    expect(left.length).toBeLessThanOrEqual(41)
  })

  test('tiers are purged from the origin outward, each after the one before it', async () => {
    const [shield, edge] = [new FakeEdge({ name: 'shield' }), new FakeEdge({ name: 'edge' })]
    const gate = shield.hold()
    const { time, purger, send } = await start({ tiers: [[shield], [edge]] })
    await send('product:1')
    await time.advance(500)
    expect([shield.requests.length, edge.requests.length]).toEqual([1, 0])
    gate.release()
    await time.advance(1)
    expect(edge.requests.length).toBe(1)
    await purger.stop()
  })

  test('the providers of one tier are purged side by side, the next tier after all of them', async () => {
    const [slow, fast, outer] = ['slow', 'fast', 'outer'].map((name) => new FakeEdge({ name }))
    if (!slow || !fast || !outer) throw new Error('unreachable')
    const gate = slow.hold()
    const { time, purger, send } = await start({ tiers: [[slow, fast], [outer]] })
    await send('product:1')
    await time.advance(100)
    expect([slow, fast, outer].map((edge) => edge.requests.length)).toEqual([1, 1, 0])
    gate.release()
    await time.advance(1)
    expect(outer.requests.length).toBe(1)
    await purger.stop()
  })

  test('EVERYTHING empties the edge in one request and takes along what waits', async () => {
    const { time, edge, purger, send, sentKeys } = await start({ concurrency: 1 })
    const gate = edge.hold()
    await send('a:1')
    await send('a:2', '*', 'a:3')
    gate.release()
    await time.advance(1)
    expect(sentKeys()).toEqual(['a.1', 'everything'])
    await purger.stop()
  })

  test('a throttled provider is left alone for Retry-After, and nothing is dropped', async () => {
    const { time, edge, purger, send, sentKeys } = await start()
    edge.answer = () => ({ kind: 'throttled', retryAfterMs: 7_000 })
    await send('a:1')
    edge.answer = () => undefined
    await send('a:2')
    await time.advance(6_900)
    expect(sentKeys()).toEqual(['a.1'])
    await time.advance(200)
    expect(sentKeys()).toEqual(['a.1', 'a.1 a.2'])
    await purger.stop()
  })

  test('an unavailable provider is tried again with growing pauses until it answers', async () => {
    const { time, edge, purger, send } = await start()
    edge.answer = () => ({ kind: 'unavailable', detail: 'status 503' })
    await send('a:1')
    await time.advance(60_000)
    // Pauses of 50, 100, 200 … 15,000 ms with random = ½: at most one probe at a time.
    expect(edge.requests.length).toBeGreaterThanOrEqual(9)
    expect(edge.requests.length).toBeLessThanOrEqual(14)
    edge.answer = () => undefined
    await time.advance(31_000)
    expect(edge.requests.at(-1)?.reply).toBe('purged')
    await purger.stop()
  })

  test('a provider that may be asked again soon is, however long it has been away', async () => {
    const { time, edge, purger, send } = await start()
    edge.answer = () => ({ kind: 'unavailable', detail: 'refused', retryWithinMs: 1_000 })
    await send('a:1')
    await time.advance(60_000)
    edge.answer = () => undefined
    await time.advance(1_000)
    expect(edge.requests.at(-1)?.reply).toBe('purged')
    await purger.stop()
  })

  test('a refused batch is bisected to the bad key, which becomes a dead letter; the others are purged', async () => {
    const { log, time, edge, purger, send } = await start()
    edge.answer = (keys) => (keys.includes('bad.1') ? { kind: 'refused', detail: 'status 400' } : undefined)
    const good = Array.from({ length: 20 }, (_, index) => `a:${index}`)
    await send(...good.slice(0, 11), 'bad:1', ...good.slice(11))
    await time.advance(10)
    const purged = edge.requests.filter(({ reply }) => reply === 'purged').flatMap(({ keys }) => keys)
    expect(new Set(purged)).toEqual(new Set(good.map((tag) => tag.replace(':', '.'))))
    expect(edge.requests.length).toBeLessThanOrEqual(12)
    expect(await deadLetters(log)).toEqual(['LOCKSTEP_CDN_KEY_REFUSED purges/0@11'])
    // What was refused was not evicted, and is not measured as if it were.
    expect(purger.status().commitToEdge.count).toBe(20)
    await time.advance(2_140)
    await purger.stop()
    expect(await redelivered(log)).toEqual([])
  })

  test('denied credentials open a breaker that probes every 30 s and loses nothing', async () => {
    const { time, edge, purger, send, sentKeys } = await start()
    edge.answer = () => ({ kind: 'denied', detail: 'status 401' })
    await send('a:1')
    await send('a:2')
    expect(sentKeys()).toEqual(['a.1'])
    expect(purger.status().providers[0]?.state).toBe('denied')
    await time.advance(29_000)
    expect(sentKeys()).toHaveLength(1)
    edge.answer = () => undefined
    await time.advance(1_100)
    expect(sentKeys()).toEqual(['a.1', 'a.1 a.2'])
    expect(purger.status().providers[0]?.state).toBe('open')
    await purger.stop()
  })

  test('one failing provider holds back neither the other tiers of its kind nor what they purge', async () => {
    const [broken, healthy] = [new FakeEdge({ name: 'broken' }), new FakeEdge({ name: 'healthy' })]
    broken.answer = () => ({ kind: 'unavailable', detail: 'down' })
    const { time, purger, send } = await start({ tiers: [[broken, healthy]] })
    for (let round = 0; round < 10; round++) {
      await send(`a:${round}`)
      await time.advance(100)
    }
    expect(healthy.requests.filter(({ reply }) => reply === 'purged')).toHaveLength(10)
    await purger.stop()
  })

  test('a record that is no purge command becomes a dead letter, and its batch is committed', async () => {
    const { log, time, purger, send, sentKeys } = await start()
    await log.produce(TOPICS.purges, [{ key: 'x', value: Buffer.from('no event') }])
    await send('a:1')
    expect(sentKeys()).toEqual(['a.1'])
    expect(await deadLetters(log)).toEqual(['LOCKSTEP_CDN_UNDECODABLE purges/0@0'])
    await time.advance(2_140)
    await purger.stop()
    expect(await redelivered(log)).toEqual([])
  })

  test('intake pauses at maxBacklogKeys and resumes below it', async () => {
    const { time, edge, purger, send } = await start({ concurrency: 1, options: { maxBacklogKeys: 10 } })
    const gate = edge.hold()
    await send(...Array.from({ length: 10 }, (_, index) => `a:${index}`))
    await send(...Array.from({ length: 90 }, (_, index) => `b:${index}`))
    await time.advance(100)
    expect(purger.status().backlog).toBe(10)
    gate.release()
    await time.advance(20)
    expect(new Set(edge.requests.flatMap(({ keys }) => keys)).size).toBe(100)
    await purger.stop()
  })

  test('the latency from commit to edge is that of the earliest command', async () => {
    const log = createMemoryLog()
    const { time, purger } = await start({ log })
    await time.advance(250)
    const [early, late] = [time.wallMs() - 200, time.wallMs() - 10]
    await log.produce(TOPICS.purges, [
      commandRecord({ tag: 'a:1', commitMs: late }),
      commandRecord({ tag: 'a:1', commitMs: early, clock: 2 }),
    ])
    await settle()
    const { commitToEdge } = purger.status()
    expect(commitToEdge.count).toBe(1)
    expect(commitToEdge.max).toBeCloseTo(200, 0)
    await purger.stop()
  })
})
