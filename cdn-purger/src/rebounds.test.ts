import type { TimeSource } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { encodeSurrogateKey, parseTag } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import type { Purge } from './purge.ts'
import { Rebounds } from './rebounds.ts'
import { command } from './testing/commands.ts'
import { BatchTicket, TicketSet } from './tickets.ts'

function setUp() {
  const time = new FakeTime()
  // Timers of a process that is busy fire late.
  const delay = { ms: 0 }
  const late: TimeSource = {
    nowMs: () => time.nowMs(),
    wallMs: () => time.wallMs(),
    sleep: async (ms, signal) => time.sleep(ms + delay.ms, signal),
  }
  const [committed, due]: [string[], string[]] = [[], []]
  const rebounds = new Rebounds({
    time: late,
    reboundMs: 1_600,
    onDue: (purge) => {
      due.push(purge.command.id)
      rebounds.done(purge, time.nowMs())
    },
  })
  const purgeOf = (tag: string, clock: number): Purge => {
    const tickets = new TicketSet()
    const ticket = new BatchTicket(() => committed.push(`${tag}@${clock}`))
    tickets.add(ticket)
    ticket.release()
    return {
      tag: parseTag(tag),
      key: encodeSurrogateKey(parseTag(tag)),
      phase: 'live',
      lane: 'live',
      command: command({ tag, clock }),
      commitTimeUs: 0n,
      arrivedMs: 0,
      source: null,
      tickets,
    }
  }
  const purged = (tag: string, clock = 1) => {
    const purge = purgeOf(tag, clock)
    rebounds.begin(purge)
    rebounds.done(purge, time.nowMs())
  }
  return { time, delay, rebounds, committed, due, purgeOf, purged }
}

describe('cdn-purger/rebounds', () => {
  test.for([0, 60])(
    'a purge acknowledged while a timer is %i ms late is rebounded late enough to count',
    async (lateMs) => {
      const { time, delay, rebounds, committed, purged } = setUp()
      delay.ms = lateMs
      purged('a:1')
      delay.ms = 0
      await time.advance(100 + lateMs - 1)
      purged('b:1')
      await time.advance(5_000)
      expect(committed).toEqual(['a:1@1', 'b:1@1'])
      expect(rebounds.size).toBe(0)
    },
  )

  test('while a newer purge of the tag is on its way no rebound for the older change is sent', async () => {
    const { time, rebounds, committed, due, purgeOf, purged } = setUp()
    purged('a:1', 1)
    await time.advance(1_000)
    const newer = purgeOf('a:1', 2)
    rebounds.begin(newer)
    await time.advance(5_000)
    expect(due).toEqual([])
    rebounds.done(newer, time.nowMs() - 4_500)
    await time.advance(5_000)
    expect(due).toEqual(['a:1@2'])
    expect(committed.toSorted()).toEqual(['a:1@1', 'a:1@2'])
  })
})
