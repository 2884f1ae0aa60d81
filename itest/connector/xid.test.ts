import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { advanceXid } from './advance-xid.ts'
import { MAJORS } from './rig.ts'
import { DEADLINE_MS, ownServer, Scene } from './scene.ts'

const EPOCH = 2n ** 32n
const HALF = 2n ** 31n

describe.each(MAJORS)('itest/connector/xid on PostgreSQL %s', (major) => {
  const server = ownServer(major, { autovacuum: 'off' })

  // Each is some transactions before a border, so that the test crosses it; the epoch may be any.
  test.each([
    ['2³¹, where a signed reader turns negative', HALF],
    ['2³², where the 32 bits of the stream begin anew', EPOCH],
    ['2³¹ of a later epoch', 3n * EPOCH + HALF],
  ])('around %s every transaction passes the gate when it is seen, and not before', async (_where, border) => {
    await advanceXid(server(), border - 60n)
    const scene = await Scene.open(server().url)
    const connector = await scene.start()
    const xids = new Map<string, bigint>()
    const note = async (id: number): Promise<void> => {
      const { rows } = await scene.source.query(
        'insert into items values ($1, 0) returning pg_current_xact_id()::text as xid',
        [id],
      )
      xids.set(String(id), BigInt((rows[0] as { xid: string }).xid))
    }
    for (let id = 1; id <= 20; id++) await note(id)
    // Delivered, and invisible to everyone until the standby that nobody has answers.
    const writer = await scene.source.connect()
    const release = await scene.missStandby()
    const hanging = writer.query('insert into items values (1000, 0)')
    await waitFor(() => connector.status().waiting === 1, DEADLINE_MS)
    for (let id = 21; id <= 80; id++) await note(id)
    await waitFor(() => xids.size === 80 && [...xids.keys()].every((id) => scene.has(id)), DEADLINE_MS)
    await scene.settled()
    expect(scene.has(1000)).toBe(false)
    await release()
    await hanging
    await waitFor(() => scene.has(1000), DEADLINE_MS)

    const changes = scene.log.changes().filter(({ after }) => xids.has(after['id'] ?? ''))
    expect(new Map(changes.map(({ after, xid }) => [after['id'], xid]))).toEqual(xids)
    expect([...xids.values()].some((xid) => xid < border) && [...xids.values()].some((xid) => xid > border)).toBe(true)
    // One writer: each of its snapshots is newer than the one before.
    const stamps = changes.map(({ stamp }) => stamp)
    expect(stamps).toEqual(stamps.toSorted())
    expect(scene.judge().late).toEqual([])
  })
})
