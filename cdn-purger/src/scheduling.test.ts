import { createMemoryLog, noMetrics, silentLogger, TOPICS } from '@lockstep/runtime'
import type { EventLog } from '@lockstep/runtime'
import { FakeTime, settle } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { createLocalBudget } from './local-budget.ts'
import { createPurgerMetrics } from './metrics.ts'
import type { OrderLane, PurgeLimits } from './ports.ts'
import { createPurger } from './purger.ts'
import type { PurgerOptions } from './purger.ts'
import { command, commandRecord } from './testing/commands.ts'
import type { CommandParts } from './testing/commands.ts'
import { FakeEdge } from './testing/fake-edge.ts'
import { MemoryJournal } from './testing/memory-journal.ts'

interface Parts {
  readonly log?: EventLog
  readonly limits?: Partial<PurgeLimits>
  readonly options?: Partial<PurgerOptions>
  readonly edge?: FakeEdge
}

async function start({
  log = createMemoryLog(),
  limits = {},
  options = {},
  edge = new FakeEdge({ limits }),
}: Parts = {}) {
  const time = new FakeTime()
  const journal = new MemoryJournal()
  const purger = createPurger({
    log,
    tiers: [[edge]],
    acks: null,
    budgetOf: (provider) =>
      provider.limits.rates.length === 0 ? null : createLocalBudget(provider.limits.rates, () => time.nowMs()),
    journal,
    time,
    random: () => 0.5,
    logger: silentLogger,
    metrics: createPurgerMetrics(noMetrics, time),
    options: {
      group: 'purgers',
      maxStalenessMs: 5_000,
      reboundMs: 2_000,
      barrierPollMs: 3,
      maxBacklogKeys: 100_000,
      drainMs: 0,
      ...options,
    },
  })
  await purger.start()
  const send = async (...parts: (string | CommandParts)[]) => {
    const records = parts.map((part) => commandRecord(typeof part === 'string' ? { tag: part } : part))
    await log.produce(TOPICS.purges, records)
    await settle()
  }
  const order = async (lane: OrderLane, tag: string) =>
    purger.submit(lane, { command: command({ tag }), actor: 'ann', replayOf: lane === 'replay' ? 'r1' : null })
  const sentKeys = () => edge.requests.map(({ keys }) => (keys === 'everything' ? keys : keys.join(' ')))
  return { log, time, edge, journal, purger, send, order, sentKeys }
}

const tagsOf = (tagClass: string, count: number) => Array.from({ length: count }, (_, index) => `${tagClass}:${index}`)
const keyCount = (edge: FakeEdge) => edge.requests.reduce((sum, { keys }) => sum + keys.length, 0)

describe('cdn-purger/orders', () => {
  test('an order ends when its tag was purged and purged again, with who asked in the journal', async () => {
    const { time, journal, purger, order, sentKeys } = await start()
    let outcome: unknown = null
    void order('manual', 'a:1').then((value) => (outcome = value))
    await time.advance(1_900)
    expect([sentKeys(), outcome]).toEqual([['a.1'], null])
    await time.advance(300)
    expect(outcome).toEqual({ kind: 'purged' })
    expect(journal.lines()).toEqual([
      'a:1@1 manual live accepted',
      'a:1@1 manual live acked',
      'a:1@1 manual rebound acked',
    ])
    expect(journal.entries[0]?.items[0]).toMatchObject({ actor: 'ann', replayOf: null })
    await purger.stop()
  })

  test('an order that the provider refuses says so, and no dead letter is written', async () => {
    const { log, edge, time, purger, order } = await start()
    edge.answer = () => ({ kind: 'refused', detail: 'status 400' })
    const ended = order('replay', 'a:1')
    await time.advance(1)
    expect(await ended).toEqual({ kind: 'refused', provider: 'fake', detail: 'status 400' })
    let letters = 0
    const subscription = await log.consume({ topic: TOPICS.deadLetters, group: 'look' }, (batch) => {
      letters += batch.records.length
      return Promise.resolve()
    })
    await settle()
    expect(letters).toBe(0)
    await subscription.stop()
    await purger.stop()
  })

  test('an order that had not ended when the purger stops rejects', async () => {
    const { purger, order } = await start()
    const ended = order('manual', 'a:1').catch(String)
    await purger.stop()
    expect(await ended).toContain('stopped')
    await expect(order('manual', 'a:2')).rejects.toThrow('stopping')
  })

  test('a long replay never starves live purges, nor they it', async () => {
    const { time, edge, purger, send, order } = await start({ limits: { maxKeys: 10, concurrency: 1 } })
    const gate = edge.hold()
    for (const tag of tagsOf('old', 1_000)) void order('replay', tag).catch(() => undefined)
    await settle()
    await send(...tagsOf('new', 100))
    gate.release()
    await time.advance(0)
    const classes = edge.requests.map(({ keys }) => keys[0]?.split('.')[0])
    // Ten live requests among the first fourteen; replay has its turn between them.
    expect(classes.slice(1, 14).filter((tagClass) => tagClass === 'new')).toHaveLength(10)
    expect(classes.slice(1, 14).filter((tagClass) => tagClass === 'old')).toHaveLength(3)
    expect(keyCount(edge)).toBe(1_100)
    await purger.stop()
  })
})

describe('cdn-purger/pacing', () => {
  test('a provider with limits is never asked for more than its buckets hold, and gets all of it', async () => {
    const rates = [
      { unit: 'requests', perSecond: 5, burst: 10 },
      { unit: 'keys', perSecond: 20, burst: 40 },
    ] as const
    const { time, edge, purger, send } = await start({ limits: { maxKeys: 10, rates } })
    await send(...tagsOf('a', 200))
    for (let second = 0; second < 8; second++) {
      expect(edge.requests.length).toBeLessThanOrEqual(10 + 5 * second)
      expect(keyCount(edge)).toBeLessThanOrEqual(40 + 20 * second)
      await time.advance(1_000)
    }
    expect(keyCount(edge)).toBeGreaterThanOrEqual(195)
    await purger.stop()
  })

  test('there is no window while the budget is ample, and one of at most 250 ms as it tightens', async () => {
    const { time, edge, purger, send } = await start({
      limits: { rates: [{ unit: 'requests', perSecond: 10, burst: 20 }] },
    })
    const waits: number[] = []
    for (let round = 0; round < 30; round++) {
      const [before, sentMs] = [edge.requests.length, time.nowMs()]
      await send(`a:${round}`)
      while (edge.requests.length === before && time.nowMs() < sentMs + 1_000) await time.advance(5)
      waits.push(time.nowMs() - sentMs)
    }
    expect(waits.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 0))
    expect(Math.max(...waits)).toBeGreaterThan(50)
    expect(Math.max(...waits)).toBeLessThanOrEqual(255)
    await purger.stop()
  })

  test('where a request costs the same however full it is, other lanes fill it up', async () => {
    const rates = [{ unit: 'requests', perSecond: 1, burst: 1 }] as const
    const { time, edge, purger, send, order } = await start({ limits: { maxKeys: 10, rates } })
    await send('first:1')
    for (const tag of tagsOf('old', 7)) void order('replay', tag).catch(() => undefined)
    await send('new:1', 'new:2')
    await time.advance(1_100)
    expect(edge.requests[1]?.keys).toHaveLength(9)
    expect(edge.requests[1]?.keys.slice(0, 2)).toEqual(['new.1', 'new.2'])
    await purger.stop()
  })

  test('a provider that says its quota is used up is left alone until it is whole again', async () => {
    const { time, edge, purger, send, sentKeys } = await start()
    edge.answer = () => ({ kind: 'purged', objects: 0, restMs: 4_000 })
    await send('a:1')
    edge.answer = () => undefined
    await send('a:2')
    await time.advance(3_900)
    expect(sentKeys()).toEqual(['a.1'])
    await time.advance(200)
    expect(sentKeys()[1]).toContain('a.2')
    await purger.stop()
  })

  test('the forecast is what waits, divided by what the limits allow', async () => {
    const rates = [{ unit: 'keys', perSecond: 10, burst: 10 }] as const
    const { purger, send } = await start({ limits: { rates } })
    await send(...tagsOf('a', 210))
    expect(purger.status().providers[0]).toMatchObject({ backlog: 200, drainMs: 20_000, budgetFill: 0 })
    await purger.stop()
  })
})

describe('cdn-purger/escalation', () => {
  const rates = [{ unit: 'keys', perSecond: 1, burst: 1 }] as const
  const escalation = (...classes: string[]) => ({ maxDrainMs: 30_000, classes: new Set(classes) })

  test('too long a forecast replaces the keys of an allowed class by the class, and says why in the journal', async () => {
    const options = { escalation: escalation('big') }
    const { time, edge, journal, purger, send, sentKeys } = await start({ limits: { rates }, options })
    await send(...tagsOf('big', 100), ...tagsOf('small', 5))
    await time.advance(1_100)
    const escalated = journal.entries.filter(({ state }) => state === 'escalated')
    expect(escalated[0]?.detail).toMatch(/^draining would take \d+ s, more than 30 s: 99 tags of big in one$/)
    await time.advance(8_000)
    expect(sentKeys()).toContain('big._2a')
    expect(keyCount(edge)).toBeLessThanOrEqual(10)
    const acked = new Set(journal.lines('acked').map((line) => line.split('@')[0]))
    expect(acked.size).toBe(105)
    await purger.stop()
  })

  test('what comes while a class waits rides along', async () => {
    const options = { escalation: escalation('big') }
    const { time, purger, send } = await start({ limits: { rates }, options })
    await send(...tagsOf('big', 100))
    await time.advance(0)
    await send('big:9999')
    expect(purger.status().providers[0]?.backlog).toBe(100)
    await time.advance(1_000)
    await send('big:8888')
    expect(purger.status().providers[0]?.backlog).toBeLessThanOrEqual(1)
    await purger.stop()
  })

  test('no class that the policy does not name is touched, and without * nobody purges everything', async () => {
    const options = { escalation: escalation('other') }
    const { time, purger, send, sentKeys } = await start({ limits: { rates }, options })
    await send(...tagsOf('big', 100))
    await time.advance(5_000)
    expect(sentKeys()).not.toContain('everything')
    expect(sentKeys().some((keys) => keys.includes('_2a'))).toBe(false)
    await purger.stop()
  })

  test('the last rung is everything, where the policy allows it', async () => {
    const options = { escalation: { maxDrainMs: 3_000, classes: new Set(['*']) } }
    const { time, edge, purger, send, sentKeys } = await start({ limits: { rates }, options })
    await send(...tagsOf('x', 1).flatMap(() => Array.from({ length: 60 }, (_, index) => `class${index}:1`)))
    await time.advance(3_000)
    expect(sentKeys()).toContain('everything')
    expect(edge.requests.length).toBeLessThanOrEqual(5)
    await purger.stop()
  })
})

describe('cdn-purger/accounts', () => {
  test('every command ends acknowledged or superseded, each with its own clock', async () => {
    const { edge, time, journal, purger, send } = await start({ limits: { concurrency: 1 } })
    const gate = edge.hold()
    await send('z:1')
    await send({ tag: 'a:1', clock: 1 }, { tag: 'a:1', clock: 3 }, { tag: 'a:1', clock: 2 }, 'b:1')
    await send({ tag: 'a:1', clock: 4 })
    gate.release()
    await time.advance(10)
    expect(journal.lines('superseded').toSorted()).toEqual([
      'a:1@1 live live superseded',
      'a:1@2 live live superseded',
      'a:1@3 live live superseded',
    ])
    expect(journal.lines('acked')).toEqual(['z:1@1 live live acked', 'a:1@4 live live acked', 'b:1@1 live live acked'])
    await purger.stop()
  })

  test.for(['before', 'after'])(
    'killed %s the journal has what became of it, a batch is met again or not',
    async (when) => {
      const { log, time, journal, purger, send } = await start()
      const gate = journal.hold()
      await send('a:1')
      await time.advance(10_000)
      if (when === 'after') gate.release()
      await settle()
      await purger.stop()
      expect(await redelivered(log)).toEqual(when === 'after' ? [] : ['a:1@1'])
    },
  )

  test('what was refused is dead-lettered in the journal, and what failed is retried there', async () => {
    const { time, edge, journal, purger, send } = await start()
    edge.answer = () => ({ kind: 'unavailable', detail: 'status 503' })
    await send('a:1', 'bad:1')
    edge.answer = (keys) => (keys.includes('bad.1') ? { kind: 'refused', detail: 'status 400' } : undefined)
    await time.advance(1_000)
    expect(journal.lines('dead-lettered')).toEqual(['bad:1@1 live live dead-lettered'])
    const acked = journal.entries.find(({ state }) => state === 'acked')
    expect(acked?.items).toMatchObject([{ attempts: 3 }])
    expect(journal.entries.find(({ state }) => state === 'retrying')?.detail).toBe('status 503')
    await purger.stop()
  })
})

/** Reads what a second group member would be given. */
async function redelivered(log: EventLog): Promise<string[]> {
  const second = await start({ log })
  await settle()
  const ids = second.journal.lines('acked').map((line) => line.split(' ')[0] ?? '')
  await second.purger.stop()
  return ids
}

describe('cdn-purger/order of clocks', () => {
  /** The first request hangs; a newer purge of its tag is acknowledged; then the first fails. */
  test('a purge that failed after a newer one of its tag was acknowledged is not sent again', async () => {
    const { edge, time, journal, purger, send, sentKeys } = await start()
    const gate = edge.hold()
    edge.answer = () => ({ kind: 'unavailable', detail: 'stalled' })
    await send({ tag: 'a:1', clock: 1 }, 'b:1')
    edge.answer = () => undefined
    edge.ungate()
    await send({ tag: 'a:1', clock: 2 })
    expect(sentKeys()).toEqual(['a.1 b.1', 'a.1'])
    gate.release()
    await time.advance(500)
    expect(sentKeys()).toEqual(['a.1 b.1', 'a.1', 'b.1'])
    expect(journal.lines('superseded')).toEqual(['a:1@1 live live superseded'])
    await purger.stop()
  })

  /** The first request fails and waits again, while the second, which is newer, is on its way. */
  test('a purge that waits again when a newer one of its tag is acknowledged is not sent again', async () => {
    const { edge, time, journal, purger, send, sentKeys } = await start()
    const first = edge.hold()
    edge.answer = () => ({ kind: 'unavailable', detail: 'stalled' })
    await send({ tag: 'a:1', clock: 1 }, 'b:1')
    edge.answer = () => undefined
    const second = edge.hold()
    await send({ tag: 'a:1', clock: 2 })
    edge.ungate()
    first.release()
    await settle()
    second.release()
    await time.advance(500)
    expect(sentKeys().filter((keys) => keys.includes('a.1'))).toEqual(['a.1 b.1', 'a.1'])
    expect(journal.lines('superseded')).toEqual(['a:1@1 live live superseded'])
    await purger.stop()
  })

  /** The first is sent again behind the second, which is newer; that one is acknowledged, then the first fails again. */
  test('a purge that failed again after a newer one of its tag, which began before it, is not sent again', async () => {
    const { edge, time, journal, purger, send, sentKeys } = await start({ limits: { concurrency: 3 } })
    const fails = () => ({ kind: 'unavailable', detail: 'stalled' }) as const
    const held = async (...commands: Parameters<typeof send>) => {
      const gate = edge.hold()
      await send(...commands)
      return gate
    }
    edge.answer = fails
    const first = await held({ tag: 'a:1', clock: 1 })
    edge.answer = () => undefined
    const second = await held({ tag: 'a:1', clock: 2 })
    const other = await held('b:1')
    first.release()
    await settle()
    // The provider is well: more than one request may be on its way.
    other.release()
    await settle()
    edge.answer = fails
    const again = edge.hold()
    await time.advance(50)
    expect(sentKeys()).toEqual(['a.1', 'a.1', 'b.1', 'a.1'])
    edge.answer = () => undefined
    edge.ungate()
    second.release()
    await settle()
    again.release()
    await time.advance(500)
    expect(sentKeys()).toEqual(['a.1', 'a.1', 'b.1', 'a.1'])
    expect(journal.lines('superseded')).toEqual(['a:1@1 live live superseded'])
    await purger.stop()
  })

  const purgedTwice = async (unsafe?: PurgerOptions['unsafe']) => {
    const log = createMemoryLog()
    const first = await start({ log })
    await first.send({ tag: 'a:1', clock: 1 })
    // More than one delivery of the log holds.
    await first.send(...tagsOf('other', 600))
    await first.send({ tag: 'a:1', clock: 2 })
    await first.purger.stop()
    const second = await start({ log, ...(unsafe ? { options: { unsafe } } : {}) })
    await second.time.advance(100)
    await second.purger.stop()
    const lines = [...first.journal.lines('acked'), ...second.journal.lines('acked')]
    return lines.filter((line) => line.startsWith('a:1')).map((line) => line.split(' ')[0])
  }

  test('after a kill nothing is purged for an older change once it was purged for a newer one', async () => {
    expect(await purgedTwice()).toEqual(['a:1@1', 'a:1@2', 'a:1@2'])
  })

  test('without catching up first the older one comes again (the protection is what prevents it)', async () => {
    expect(await purgedTwice({ skipCatchUp: true })).toEqual(['a:1@1', 'a:1@2', 'a:1@1', 'a:1@2'])
  })
})
