import { createMetrics, type Logger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { Guardian } from './guardian.ts'
import { createConnectorMetrics } from './metrics.ts'
import type { SlotVitals, Vitals } from './ports.ts'

const MB = 1_000_000
const sound: SlotVitals = {
  walStatus: 'reserved',
  invalidation: '',
  retainedBytes: MB,
  safeBytes: 99 * MB,
  spilledBytes: 7,
}

function setUp() {
  const registry = createMetrics()
  const time = new FakeTime()
  const warned: object[] = []
  const nothing = (): void => undefined
  const logger: Logger = {
    debug: nothing,
    info: nothing,
    warn: (fields) => void warned.push(fields),
    error: nothing,
    child: () => logger,
  }
  let vitals: Vitals | undefined = { slot: sound, publication: 'p', oldestXid: 5n, nextXid: 5n }
  const never = new Promise<Vitals>(nothing)
  const catalog = { vitals: () => (vitals ? Promise.resolve(vitals) : never) }
  const metrics = createConnectorMetrics(registry)
  const guardian = new Guardian({ catalog, publication: 'p', slot: 's', time, metrics, logger })
  const { signal } = new AbortController()
  return {
    warned,
    time,
    look: (changes: Partial<Vitals> = {}) => {
      vitals = { slot: sound, publication: 'p', oldestXid: 5n, nextXid: 5n, ...changes }
      return guardian.look(signal)
    },
    lookAtNothing: () => {
      vitals = undefined
      return guardian.look(signal)
    },
    value: async (name: string) => new RegExp(`^${name} (\\S+)$`, 'm').exec(await registry.text())?.[1],
  }
}

describe('connector/guardian', () => {
  test('what the server says of the slot becomes metrics', async () => {
    const { look, value } = setUp()
    await look()
    expect(await value('lockstep_slot_retained_bytes')).toBe('1000000')
    expect(await value('lockstep_slot_safe_wal_bytes')).toBe('99000000')
    expect(await value('lockstep_slot_spilled_bytes')).toBe('7')
    expect(await value('lockstep_slot_wal_status\\{status="reserved"\\}')).toBe('1')
    expect(await value('lockstep_slot_wal_status\\{status="lost"\\}')).toBe('0')
  })

  test('the loss of the slot is foretold from the pace of the last minute', async () => {
    const { look, value, time } = setUp()
    await look()
    expect(await value('lockstep_slot_loss_eta_seconds')).toBe('+Inf')
    await time.advance(10_000)
    await look({ slot: { ...sound, safeBytes: 90 * MB } })
    expect(Number(await value('lockstep_slot_loss_eta_seconds'))).toBeCloseTo(100)
    await time.advance(61_000)
    await look({ slot: { ...sound, safeBytes: 90 * MB } })
    expect(await value('lockstep_slot_loss_eta_seconds')).toBe('+Inf')
  })

  test('half and four fifths of the budget are warned of once each, and again after calm', async () => {
    const { look, warned } = setUp()
    const used = (percent: number) =>
      look({ slot: { ...sound, retainedBytes: percent * MB, safeBytes: (100 - percent) * MB } })
    for (const percent of [49, 50, 55, 81, 99, 60, 85, 10, 50]) await used(percent)
    expect(warned).toMatchObject([{ usedPercent: 50 }, { usedPercent: 81 }, { usedPercent: 50 }])
  })

  test.each<[string, Partial<Vitals>, string]>([
    ['a missing slot', { slot: undefined }, 'LOCKSTEP_CON_SLOT_LOST'],
    ['an invalidated slot', { slot: { ...sound, invalidation: 'idle_timeout' } }, 'LOCKSTEP_CON_SLOT_LOST'],
    ['another publication', { publication: 'q' }, 'LOCKSTEP_CON_PUBLICATION'],
  ])('%s ends the session', async (_what, changes, code) => {
    await expect(setUp().look(changes)).rejects.toMatchObject({ code, disposition: 'transient' })
  })

  test('a server that does not answer ends the session', async () => {
    const { lookAtNothing, time } = setUp()
    const looking = lookAtNothing().catch((error: unknown) => error)
    await time.advance(5_000)
    expect(await looking).toMatchObject({ code: 'LOCKSTEP_CON_SILENT' })
    expect(time.sleeping).toBe(0)
  })

  test('a transaction that stays the oldest one ages, and another one begins anew', async () => {
    const { look, value, time } = setUp()
    const age = () => value('lockstep_oldest_transaction_seconds')
    await look({ oldestXid: 5n, nextXid: 6n })
    await time.advance(300_000)
    await look({ oldestXid: 5n, nextXid: 90n })
    expect(await age()).toBe('300')
    await look({ oldestXid: 89n, nextXid: 90n })
    expect(await age()).toBe('0')
  })
})
