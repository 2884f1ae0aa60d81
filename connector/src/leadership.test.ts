import { silentLogger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { takeOverSlot, waitForLead } from './leadership.ts'
import type { SlotHolder } from './ports.ts'

const { signal } = new AbortController()

describe('connector/leadership', () => {
  test('a standby takes the lead within a tenth of a second of its release', async () => {
    const time = new FakeTime()
    let isFree = false
    let standbys = 0
    const onStandby = () => Promise.resolve(void (standbys += 1))
    let leadsAtMs: number | undefined
    const link = { tryLead: () => Promise.resolve(isFree) }
    void waitForLead({ link, time, signal, onStandby }).then(() => (leadsAtMs = time.nowMs()))
    await time.advance(60_050)
    expect([leadsAtMs, standbys]).toEqual([undefined, 1])
    isFree = true
    await time.advance(100)
    expect(leadsAtMs).toBe(60_100)
  })

  /** Takes a slot over whose holder reacts to its termination or not. */
  const takeOver = (holder: SlotHolder, endsWhenTerminated: boolean) => {
    const time = new FakeTime()
    let held: SlotHolder | undefined = holder
    const terminated: number[] = []
    const slot = {
      holder: () => Promise.resolve(held),
      terminate: () => {
        terminated.push(time.nowMs())
        if (endsWhenTerminated) held = undefined
        return Promise.resolve(endsWhenTerminated)
      },
    }
    const taking = takeOverSlot({ slot, name: 's', time, logger: silentLogger, signal })
    return { time, taking, terminated }
  }

  test('a walsender of ours is given half a second, then terminated', async () => {
    const { time, taking, terminated } = takeOver({ pid: 7, isOurs: true, who: 'app' }, true)
    await time.advance(1_000)
    await taking
    expect(terminated).toEqual([500])
  })

  test.each([
    ['that the role may not terminate', true, [500]],
    ['of somebody else', false, []],
  ])('a walsender %s is waited for, then named', async (_what, isOurs, terminations) => {
    const { time, taking, terminated } = takeOver({ pid: 7, isOurs, who: 'postgres pg_recvlogical' }, false)
    const refused = taking.catch((error: unknown) => error)
    await time.advance(11_000)
    expect(await refused).toMatchObject({
      code: 'LOCKSTEP_CON_SLOT_BUSY',
      message: expect.stringContaining('process 7 of the server (postgres pg_recvlogical)') as string,
    })
    expect(terminated).toEqual(terminations)
  })
})
