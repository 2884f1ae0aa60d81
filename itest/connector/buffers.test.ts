import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { MAJORS, plainStream } from './rig.ts'
import { DEADLINE_MS, ownServer, Scene } from './scene.ts'

const ROWS = 10_000
const INSERT = 0x49
const INSERTS = `insert into items select g, 1000000 + g from generate_series(1, ${ROWS}) g`

describe.each(MAJORS)('itest/connector/buffers on PostgreSQL %s', (major) => {
  const server = ownServer(major)

  const waiting = async ({ source }: Scene): Promise<number> => {
    const { rows } = await source.admin.query(
      `select 1 from pg_stat_activity where wait_event = 'SyncRep' and datname = $1`,
      [source.config.slot],
    )
    return rows.length
  }

  /** Whether the servers' socket holds everything that a stream is to get. */
  const isSent = async ({ source }: Scene): Promise<boolean> => {
    const { rows } = await source.query(
      `select 1 from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
        where s.slot_name = $1 and r.sent_lsn >= pg_current_wal_flush_lsn()`,
      [`${source.config.slot}_plain`],
    )
    return rows.length === 1
  }

  test('rows that wait at the gate are whole when the buffer they came in has been overwritten many times', async () => {
    const scene = await Scene.open(server().url)
    // A backlog, which fills every read of the socket: only then is a buffer used again.
    await (await scene.start()).stop()
    const writer = await scene.source.connect()
    const release = await scene.missStandby()
    const hanging = writer.query(INSERTS)
    await waitFor(async () => (await waiting(scene)) === 1, DEADLINE_MS)
    // In parts: too many rows of one transaction become one change.
    for (let first = ROWS + 1; first < 3 * ROWS; first += ROWS / 2)
      await scene.source.query('insert into items select g, -g from generate_series($1::int, $1 + $2 - 1) g', [
        first,
        ROWS / 2,
      ])
    const connector = await scene.start()
    await waitFor(() => scene.has(3 * ROWS), DEADLINE_MS)
    expect(connector.status().waiting).toBe(1)
    await release()
    await hanging
    await scene.settled()
    const rows = new Map(scene.log.changes().map(({ after }) => [after['id'], after['version']]))
    const wrong = Array.from({ length: ROWS }, (_none, index) => index + 1).filter(
      (id) => rows.get(String(id)) !== String(1_000_000 + id),
    )
    expect(wrong).toEqual([])
  })

  test('a reader that keeps the bytes it is given finds others there: the fault is real', async () => {
    const scene = await Scene.open(server().url)
    await scene.source.query('create publication lockstep for table items')
    const kept: { readonly bytes: Buffer; readonly copy: Buffer }[] = []
    const { socket } = await plainStream(scene.source.url, `${scene.slot}_plain`, (frame) => {
      // The 25 bytes before are the frame's own.
      const bytes = frame.subarray(25)
      if (frame[0] === 0x77 && bytes[0] === INSERT) kept.push({ bytes, copy: Buffer.from(bytes) })
    })
    socket.pause()
    await scene.source.query(INSERTS)
    await waitFor(() => isSent(scene), DEADLINE_MS)
    socket.resume()
    await waitFor(() => kept.length === ROWS, DEADLINE_MS)
    expect(kept.filter(({ bytes, copy }) => !bytes.equals(copy)).length).toBeGreaterThan(0)
  })
})
