import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Coalescer } from './coalescer.ts'
import { command } from './testing/commands.ts'
import { BatchTicket } from './tickets.ts'

const source = { partition: 0, offset: 0n }

describe('cdn-purger/coalescer', () => {
  test('the greatest stamp wins, the earliest commit time is kept, and every batch is answered for', () => {
    const coalescer = new Coalescer()
    const committed: string[] = []
    const [first, second] = ['first', 'second'].map((name) => new BatchTicket(() => committed.push(name)))
    if (!first || !second) throw new Error('unreachable')
    coalescer.add({ command: command({ tag: 'a:1', clock: 9, commitMs: 50 }), source }, first, 0)
    coalescer.add({ command: command({ tag: 'a:1', clock: 7, commitMs: 20 }), source }, second, 1)
    first.release()
    second.release()
    const [purge, ...others] = coalescer.release(() => true)
    expect(others).toEqual([])
    expect(purge?.command.stamp).toBe(command({ tag: 'a:1', clock: 9 }).stamp)
    expect(purge?.commitTimeUs).toBe(20_000n)
    expect(committed).toEqual([])
    purge?.tickets.release()
    expect(committed).toEqual(['first', 'second'])
  })

  test('a tag written over and over is released by the bus id of its first command', () => {
    const coalescer = new Coalescer()
    const ticket = new BatchTicket(() => undefined)
    for (let id = 1; id <= 5; id++)
      coalescer.add({ command: command({ tag: 'hot:1', clock: id, busId: `${id}-0` }), source }, ticket, id)
    const released = coalescer.release(({ command: { busId } }) => busId === '1-0')
    expect(released.map((purge) => purge.command.busId)).toEqual(['1-0'])
    expect(coalescer.size).toBe(1)
    expect(coalescer.release(() => true).map((purge) => purge.command.busId)).toEqual(['5-0'])
    expect(coalescer.size).toBe(0)
  })

  test('whatever the order, nothing is lost: each tag leaves with its greatest stamp and every batch commits once', () => {
    const arrivals = fc.array(
      fc.record({ tag: fc.constantFrom('a:1', 'a:2', 'b:1'), clock: fc.nat(20), bus: fc.nat(5), batch: fc.nat(3) }),
      { maxLength: 40, size: 'max' },
    )
    fc.assert(
      fc.property(arrivals, fc.nat(5), (items, appliedBus) => {
        const coalescer = new Coalescer()
        const commits = [0, 0, 0, 0]
        const tickets = commits.map((_, index) => new BatchTicket(() => (commits[index] = (commits[index] ?? 0) + 1)))
        for (const { tag, clock, bus, batch } of items) {
          const ticket = tickets[batch]
          if (ticket) coalescer.add({ command: command({ tag, clock, busId: `${bus}-0` }), source }, ticket, 0)
        }
        for (const ticket of tickets) ticket.release()
        const early = coalescer.release(({ command: { busId } }) => Number.parseInt(busId, 10) <= appliedBus)
        const late = coalescer.release(() => true)
        for (const tag of new Set(items.map((item) => item.tag))) {
          const sent = [...early, ...late].filter((purge) => purge.tag === tag).map((purge) => purge.command.stamp)
          const stamps = items.filter((item) => item.tag === tag).map((item) => command(item).stamp)
          expect(sent.toSorted().at(-1)).toBe(stamps.toSorted().at(-1))
        }
        for (const purge of [...early, ...late]) purge.tickets.release()
        expect(commits).toEqual([1, 1, 1, 1])
      }),
    )
  })
})
