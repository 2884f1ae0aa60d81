import { encodeSurrogateKey, parseTag } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { PurgeQueue } from './purge-queue.ts'
import type { Waiter } from './purge-queue.ts'
import type { Purge } from './purge.ts'
import { command } from './testing/commands.ts'
import { TicketSet } from './tickets.ts'

const purgeOf = (tag: string, phase: Purge['phase'] = 'live', arrivedMs = 0): Purge => ({
  tag: parseTag(tag),
  key: encodeSurrogateKey(parseTag(tag)),
  phase,
  lane: 'live',
  command: command({ tag }),
  commitTimeUs: 0n,
  arrivedMs,
  source: { partition: 0, offset: 0n },
  tickets: new TicketSet(),
})
const waiter = (purge: Purge, onOutcome: () => void = () => undefined): Waiter => ({ purge, onOutcome })
const LIMITS = { maxKeys: 2, maxBytes: 1_000, concurrency: 1, rates: [] }

describe('cdn-purger/purge-queue', () => {
  test('rebounds are served while live purges keep coming', () => {
    const queue = new PurgeQueue(LIMITS)
    queue.add(waiter(purgeOf('old:1', 'rebound')))
    const phases: string[] = []
    for (let turn = 0; turn < 8; turn++) {
      for (const part of ['a', 'b']) queue.add(waiter(purgeOf(`new:${turn}${part}`)))
      phases.push(queue.take()?.lane ?? 'none')
    }
    expect(phases.filter((phase) => phase === 'rebound')).toHaveLength(1)
  })

  test.for(['live first', 'rebound first'])('a live purge takes the waiting rebound of its tag along: %s', (order) => {
    const queue = new PurgeQueue(LIMITS)
    const settled: string[] = []
    const add = (phase: Purge['phase']) => queue.add(waiter(purgeOf('a:1', phase), () => settled.push(phase)))
    for (const phase of order === 'live first' ? (['live', 'rebound'] as const) : (['rebound', 'live'] as const))
      add(phase)
    expect(queue.size).toBe(1)
    const batch = queue.take()
    expect(batch?.lane).toBe('live')
    expect(queue.take()).toBeNull()
    for (const each of batch?.slots[0]?.waiters ?? []) each.onOutcome({ kind: 'purged', startedMs: 0 }, 'p')
    expect(settled.toSorted()).toEqual(['live', 'rebound'])
  })

  test('what is put back goes ahead of what came later, merged with newer purges of its tags', () => {
    const queue = new PurgeQueue(LIMITS)
    queue.add(waiter(purgeOf('a:1')))
    queue.add(waiter(purgeOf('a:2')))
    const batch = queue.take()
    queue.add(waiter(purgeOf('a:3')))
    queue.add(waiter(purgeOf('a:2', 'live', 5)))
    if (batch) queue.putBack(batch)
    expect(queue.size).toBe(3)
    expect(queue.oldestMs).toBe(0)
    const again = queue.take()
    expect(again?.slots.map((slot) => [slot.tag, slot.waiters.length])).toEqual([
      ['a:1', 1],
      ['a:2', 2],
    ])
  })

  test('the halves of a refused request are sent by themselves, before anything else', () => {
    const queue = new PurgeQueue(LIMITS)
    for (const tag of ['a:1', 'a:2', 'a:3']) queue.add(waiter(purgeOf(tag)))
    const batch = queue.take()
    if (batch) queue.putHalves(batch, [batch.slots.slice(0, 1), batch.slots.slice(1)])
    expect([queue.take(), queue.take(), queue.take()].map((next) => next?.slots.map((slot) => slot.tag))).toEqual([
      ['a:1'],
      ['a:2'],
      ['a:3'],
    ])
  })
})
