import { describe, expect, test } from 'vitest'
import { expectNoHarm, faultWorlds } from './fault-run.ts'
import { FAULTS } from './faults.ts'

const STALLED = 'stalled (CLIENT PAUSE)'
/** One each of what can happen to it: it waits, forgets, goes back in time, and its bus has a gap. */
const QUICK = [STALLED, 'flushed', 'failed over, its last writes lost', 'bus trimmed behind a reader']

describe('itest/redis-faults', () => {
  const suffer = faultWorlds()
  const named = (names: readonly string[]) => FAULTS.filter(({ name }) => names.includes(name))

  test('whether Redis stalls, forgets, fails over or loses its bus, no read is past the contract and reads stay quick', async () => {
    const reports = await suffer(named(QUICK))
    expect(reports).toHaveLength(QUICK.length)
    expectNoHarm(reports)
  })

  test('with a contract that nobody checks, reads are past it while Redis is stalled', async () => {
    const [report] = await suffer(named([STALLED]), { ignoreFreshness: true })
    expect(report?.stale).toBeGreaterThan(0)
  })
})
