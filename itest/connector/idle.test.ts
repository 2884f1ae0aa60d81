import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { connect, MAJORS, plainStream } from './rig.ts'
import { ownServer, Scene } from './scene.ts'

const DEADLINE_MS = 60_000
const MB = 1024 * 1024
const ROUNDS = 4
// A checkpoint may keep the segment that it stands in, and the one before.
const FLAT_BYTES = 33 * MB

describe.each(MAJORS)('itest/connector/idle on PostgreSQL %s', (major) => {
  const server = ownServer(major)

  const retained = async ({ source }: Scene, slot: string): Promise<number> => {
    const { rows } = await source.admin.query(
      'select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 as bytes from pg_replication_slots where slot_name = $1',
      [slot],
    )
    return (rows[0] as { bytes: number }).bytes
  }

  test('while only another database writes, the WAL that the slot retains stays flat; that of a reader without heartbeat grows', async () => {
    const scene = await Scene.open(server().url)
    const connector = await scene.start()
    // Reads and answers keepalives by nothing: it has no commit to acknowledge.
    await plainStream(scene.source.url, `${scene.slot}_plain`, () => undefined)
    const other = await connect(server().url)
    await other.query('create table noise (line text)')
    const kept: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await other.query(`insert into noise select repeat('x', 1000) from generate_series(1, 20000)`)
      await other.query('checkpoint')
      await waitFor(async () => {
        // What moves restart_lsn is a running-transactions record that the stream has passed: each checkpoint has one.
        await other.query('checkpoint')
        return (await retained(scene, scene.slot)) < FLAT_BYTES
      }, DEADLINE_MS)
      kept.push(await retained(scene, scene.slot))
    }
    const plain = await retained(scene, `${scene.slot}_plain`)
    console.log(
      JSON.stringify({
        law: 'idle',
        major,
        keptMb: kept.map((bytes) => +(bytes / MB).toFixed(1)),
        plainMb: +(plain / MB).toFixed(1),
      }),
    )
    expect(Math.max(...kept)).toBeLessThan(FLAT_BYTES)
    expect(plain).toBeGreaterThan(2 * FLAT_BYTES)
    expect(connector.status().lastFault).toBe('')
  })
})
