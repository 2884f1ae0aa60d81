import { waitFor } from '@lockstep/runtime/testing'
import { parseLsn, ZERO_LSN } from '@lockstep/schemas'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { createRecordingLog, openTestSource, startOn } from './testing/test-source.ts'
import type { RecordingLog, TestSource } from './testing/test-source.ts'

const SERVERS = [
  ['15', inject('postgres15Url')],
  ['18', inject('postgresUrl')],
] as const
const DEADLINE_MS = 15_000

describe.each(SERVERS.filter(([, url]) => url !== ''))(
  'connector/acknowledge on PostgreSQL %s',
  (_major, serverUrl) => {
    let source: TestSource
    let log: RecordingLog

    beforeEach(async () => {
      source = await openTestSource(serverUrl)
      log = createRecordingLog()
    })
    afterEach(async () => {
      await log.close()
      await source.drop()
    })

    const slotLsn = async () => {
      const { rows } = await source.admin.query(
        'select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
        [source.config.slot],
      )
      return parseLsn((rows[0] as { lsn: string }).lsn)
    }
    const insertLsn = async () => {
      const { rows } = await source.query('select pg_current_wal_insert_lsn()::text as lsn')
      return parseLsn((rows[0] as { lsn: string }).lsn)
    }
    const has = (id: number) => log.changes().some(({ after }) => after['id'] === String(id))

    /**
     * Commits A and then B so that B's commit record begins where A's ends; A is acknowledged, B is not when the reader
     * dies. Answers whether the next reader delivers B.
     */
    const isSecondDelivered = async (unsafeAckOffset: bigint): Promise<boolean> => {
      const [a, b] = [await source.connect(), await source.connect()]
      for (let attempt = 1; attempt <= 20; attempt++) {
        const connector = await startOn(source, log, { unsafe: { unsafeAckOffset } })
        const id = attempt * 10
        await a.query('begin')
        await b.query('begin')
        await a.query('insert into products values ($1, 1)', [id])
        await b.query('insert into products values ($1, 1)', [id + 1])
        await a.query('commit')
        const end = await insertLsn()
        await waitFor(() => has(id), DEADLINE_MS)
        log.isRefusing = true
        const isAdjacent = (await insertLsn()) === end
        await b.query('commit')
        await waitFor(() => connector.status().outstanding > 0, DEADLINE_MS)
        const committed = log.changes().find(({ after }) => after['id'] === String(id))?.commitLsn ?? ZERO_LSN
        await waitFor(async () => (await slotLsn()) > committed, DEADLINE_MS)
        const acknowledged = await slotLsn()
        expect(acknowledged <= end + unsafeAckOffset).toBe(true)
        // Others write to this server too: what they wrote behind A stands between it and B.
        const isExact = acknowledged === end + unsafeAckOffset
        await connector.stop()
        log.isRefusing = false
        const next = await startOn(source, log)
        await source.query('insert into products values ($1, 1)', [id + 2])
        await waitFor(() => has(id + 2), DEADLINE_MS)
        await next.stop()
        if (isAdjacent && isExact) return has(id + 1)
      }
      throw new Error('in 20 attempts none acknowledged the end of A with B right behind it')
    }

    test('of two adjacent commits the second is delivered after a crash that followed the ack of the first', async () => {
      expect(await isSecondDelivered(0n)).toBe(true)
    })

    test('acknowledging one byte more loses it: the exactness is real', async () => {
      expect(await isSecondDelivered(1n)).toBe(false)
    })

    test('readers that end at random points lose nothing', async () => {
      const [ends] = fc.sample(
        fc.array(fc.record({ after: fc.nat(40), refuse: fc.boolean() }), { minLength: 20, maxLength: 20 }),
        1,
      )
      // The slot must exist before the first row: what is older is covered by the flush.
      await (await startOn(source, log)).stop()
      let isWriting = true
      let written = 0
      const writing = (async () => {
        for (; isWriting; written++) await source.query('insert into products values ($1, 1)', [written])
      })()
      for (const { after, refuse } of ends ?? []) {
        const connector = await startOn(source, log)
        const seen = log.changes().length
        await waitFor(() => log.changes().length >= seen + after, DEADLINE_MS)
        log.isRefusing = refuse
        if (refuse) await waitFor(() => connector.status().outstanding > 0, DEADLINE_MS)
        await connector.stop()
        log.isRefusing = false
      }
      isWriting = false
      await writing
      const last = await startOn(source, log)
      await waitFor(() => has(written - 1), DEADLINE_MS)
      await last.stop()
      const delivered = new Set(log.changes().map(({ after }) => after['id']))
      expect(delivered.size).toBe(written)
      expect(new Set(log.flushes().map(({ generation }) => generation)).size).toBe(1)
    })
  },
)
