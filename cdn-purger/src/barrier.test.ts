import { silentLogger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { appliedByAll, Barrier } from './barrier.ts'
import { Coalescer } from './coalescer.ts'
import type { AckView, ProcessAcks } from './ports.ts'
import { command } from './testing/commands.ts'
import { BatchTicket } from './tickets.ts'

const MAX_STALENESS_MS = 5_000

function setUp(options: { view: () => AckView | Promise<AckView>; unsafeSkip?: boolean; pollMs?: number }) {
  const time = new FakeTime()
  const coalescer = new Coalescer()
  const released: string[] = []
  let [timeouts, reads] = [0, 0]
  let hint = (): void => undefined
  const acks: ProcessAcks = {
    read: () => {
      reads += 1
      return Promise.resolve().then(options.view)
    },
    onHint: (listener) => void (hint = listener),
    close: () => Promise.resolve(),
  }
  const barrier = new Barrier({
    coalescer,
    acks,
    time,
    logger: silentLogger,
    maxStalenessMs: MAX_STALENESS_MS,
    pollMs: options.pollMs ?? 3,
    onRelease: (purges) => released.push(...purges.map((purge) => purge.tag)),
    onTimeout: (count) => (timeouts += count),
    unsafeSkip: options.unsafeSkip,
  })
  const add = (tag: string, busId: string) => {
    const ticket = new BatchTicket(() => undefined)
    coalescer.add({ command: command({ tag, busId }), source: { partition: 0, offset: 0n } }, ticket, time.nowMs())
    barrier.wake()
  }
  return { time, released, add, barrier, timeouts: () => timeouts, reads: () => reads, hint: () => hint() }
}

const ack = (process: string, busId: string, atMs = 0) => ({ process, busId, atMs })

describe('cdn-purger/barrier', () => {
  test('a command waits while one live process has not applied it', async () => {
    let lagging = ack('b', '10-0')
    const { time, released, add, barrier } = setUp({ view: () => ({ nowMs: 0, acks: [ack('a', '12-0'), lagging] }) })
    add('product:1', '11-0')
    await time.advance(100)
    expect(released).toEqual([])
    lagging = ack('b', '11-0')
    await time.advance(10)
    expect(released).toEqual(['product:1'])
    await barrier.stop()
  })

  test('a hint has the acknowledgements read at once, and one that is lost costs a poll', async () => {
    let lagging = ack('b', '10-0')
    const { time, released, add, barrier, hint } = setUp({ view: () => ({ nowMs: 0, acks: [lagging] }), pollMs: 1_000 })
    add('product:1', '11-0')
    await time.advance(1)
    lagging = ack('b', '11-0')
    hint()
    await time.advance(0)
    expect(released).toEqual(['product:1'])
    add('product:2', '12-0')
    await time.advance(1)
    lagging = ack('b', '12-0')
    await time.advance(998)
    expect(released).toEqual(['product:1'])
    await time.advance(1)
    expect(released).toEqual(['product:1', 'product:2'])
    await barrier.stop()
  })

  test('a hint that comes while the acknowledgements are being read has them read again', async () => {
    const first = Promise.withResolvers<AckView>()
    const views = [first.promise, { nowMs: 0, acks: [ack('b', '11-0')] }]
    const { time, released, add, barrier, hint, reads } = setUp({
      view: () => views.shift() ?? { nowMs: 0, acks: [] },
      pollMs: 1_000,
    })
    add('product:1', '11-0')
    await time.advance(1)
    hint()
    first.resolve({ nowMs: 0, acks: [ack('b', '10-0')] })
    await time.advance(0)
    expect(released).toEqual(['product:1'])
    expect(reads()).toBe(2)
    await barrier.stop()
  })

  test('without the barrier the purge overtakes the process (the protection is what holds it)', async () => {
    const { released, add, barrier } = setUp({ view: () => ({ nowMs: 0, acks: [ack('b', '10-0')] }), unsafeSkip: true })
    add('product:1', '11-0')
    expect(released).toEqual(['product:1'])
    await barrier.stop()
  })

  test('a process that has not acknowledged for maxStaleness is not waited for', async () => {
    const view = { nowMs: 10_000, acks: [ack('dead', '1-0', 4_000), ack('live', '11-0', 9_990)] }
    expect(appliedByAll(view, MAX_STALENESS_MS)).toEqual({ kind: 'upTo', busId: '11-0' })
    expect(appliedByAll({ ...view, acks: [] }, MAX_STALENESS_MS)).toEqual({ kind: 'all' })
    await Promise.resolve()
  })

  test('a command waits no longer than maxStaleness, also when the acknowledgements cannot be read', async () => {
    const unreadable = (): AckView => {
      throw new Error('down')
    }
    const { time, released, add, barrier, timeouts } = setUp({ view: unreadable })
    add('product:1', '11-0')
    await time.advance(MAX_STALENESS_MS - 10)
    expect(released).toEqual([])
    await time.advance(20)
    expect(released).toEqual(['product:1'])
    expect(timeouts()).toBe(1)
    await barrier.stop()
  })

  test('a command without a bus entry passes at once, and nothing is read while nothing waits', async () => {
    const { time, released, add, barrier, reads } = setUp({ view: () => ({ nowMs: 0, acks: [ack('b', '10-0')] }) })
    add('product:1', '')
    expect(released).toEqual(['product:1'])
    await time.advance(1_000)
    expect(reads()).toBe(0)
    await barrier.stop()
  })

  test('bus ids are compared as numbers', () => {
    const view = { nowMs: 0, acks: [ack('a', '9-2'), ack('b', '10-0')] }
    expect(appliedByAll(view, MAX_STALENESS_MS)).toEqual({ kind: 'upTo', busId: '9-2' })
  })
})
