import { waitFor } from '@lockstep/runtime/testing'
import { parseLsn, type Lsn } from '@lockstep/schemas'
import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { endOfWal, MAJORS } from './rig.ts'
import { DEADLINE_MS, ownServer, Scene } from './scene.ts'

describe.each(MAJORS)('itest/connector/missing-standby on PostgreSQL %s', (major) => {
  const server = ownServer(major)

  const confirmed = async ({ source, slot }: Scene): Promise<Lsn> => {
    const { rows } = await source.admin.query<{ lsn: string }>(
      'select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
      [slot],
    )
    return parseLsn(rows[0]?.lsn ?? '')
  }
  const isVisible = async (client: pg.Client, id: number): Promise<boolean> =>
    (await client.query('select 1 from items where id = $1', [id])).rows.length === 1

  test('a commit that waits for it is held, with its acknowledgement, over a restart as well; later ones go on', async () => {
    const scene = await Scene.open(server().url)
    const connector = await scene.start()
    const writer = await scene.source.connect()
    const release = await scene.missStandby()
    const before = await endOfWal(scene.source.client)
    const hanging = writer.query('insert into items values (1, 0)')
    await waitFor(() => connector.status().waiting === 1, DEADLINE_MS)
    const after = await endOfWal(scene.source.client)
    for (let id = 2; id <= 50; id++) await scene.insert(id)
    await scene.settled()
    expect([scene.has(1), scene.has(50), await isVisible(scene.source.client, 1)]).toEqual([false, true, false])
    expect((await confirmed(scene)) < after).toBe(true)

    await connector.stop()
    const next = await scene.start()
    await waitFor(() => next.status().waiting === 1, DEADLINE_MS)
    expect((await confirmed(scene)) >= before && !scene.has(1)).toBe(true)
    await release()
    await hanging
    await waitFor(() => scene.has(1), DEADLINE_MS)
    await waitFor(async () => (await confirmed(scene)) >= after, DEADLINE_MS)
  })

  test('without the gate it is published while nobody sees it: the protection is real', async () => {
    const scene = await Scene.open(server().url)
    await scene.start({ unsafe: { noGate: true } })
    const writer = await scene.source.connect()
    const release = await scene.missStandby()
    const hanging = writer.query('insert into items values (1, 0)')
    await waitFor(() => scene.has(1), DEADLINE_MS)
    expect(await isVisible(scene.source.client, 1)).toBe(false)
    await release()
    await hanging
  })
})
