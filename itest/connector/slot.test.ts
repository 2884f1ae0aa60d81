import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { MAJORS } from './rig.ts'
import { DEADLINE_MS, ownServer, Scene } from './scene.ts'

/** How many records of a generation stand before its flush. */
function early({ received, log }: Scene, generation: number): number {
  const prefix = generation.toString(16).padStart(8, '0')
  const flushes = log.flushes().filter((flush) => flush.generation === generation).length
  let seen = 0
  return received.filter(({ event }) => {
    if (event.kind === 'flush' && event.generation === generation) seen += 1
    return 'stamp' in event && event.stamp.startsWith(prefix) && seen < flushes
  }).length
}

describe.each(MAJORS)('itest/connector/slot on PostgreSQL %s', (major) => {
  // The least there is: a slot that keeps more is invalidated by the next checkpoint.
  const server = ownServer(major, { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' })

  const drop = async ({ source, slot }: Scene): Promise<void> => {
    const isGone = async (): Promise<boolean> => {
      await source.admin.query(
        'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1',
        [slot],
      )
      const dropped = source.admin.query('select pg_drop_replication_slot($1)', [slot])
      return dropped.then(
        () => true,
        () => false,
      )
    }
    await waitFor(isGone, DEADLINE_MS)
  }
  const create = ({ source, slot }: Scene) =>
    // On a connection of that database: a slot belongs to one.
    source.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot])
  const status = async ({ source, slot }: Scene): Promise<string> => {
    const { rows } = await source.admin.query('select wal_status from pg_replication_slots where slot_name = $1', [
      slot,
    ])
    return (rows[0] as { wal_status: string } | undefined)?.wal_status ?? 'missing'
  }
  /** Writes more than any slot may keep. */
  const writeMuch = async ({ source }: Scene): Promise<void> => {
    for (let round = 0; round < 4; round++) {
      await source.query(`insert into items select g, g from generate_series($1::int, $1 + 19999) g`, [
        1_000_000 + round * 20_000,
      ])
      await source.query('select pg_switch_wal()')
    }
    await source.query('checkpoint')
  }
  /** A running connector that has delivered a first row, and its generation. */
  const running = async (): Promise<[Scene, Awaited<ReturnType<Scene['start']>>, number]> => {
    const scene = await Scene.open(server().url)
    const connector = await scene.start()
    await scene.insert(1)
    await waitFor(() => scene.has(1), DEADLINE_MS)
    return [scene, connector, scene.generations()[0] ?? 0]
  }
  /** Why a generation after `known` began, once what follows has arrived behind its flush. */
  const reasonOfFlush = async (scene: Scene, known: number): Promise<string> => {
    const reason = await scene.nextGeneration(known)
    await scene.insert(3)
    await waitFor(() => scene.has(3), DEADLINE_MS)
    await scene.settled()
    for (const generation of scene.generations()) expect(early(scene, generation)).toBe(0)
    return reason
  }

  test('dropped under a running connector it is made again, after a flush of everything', async () => {
    const [scene, , generation] = await running()
    await drop(scene)
    await scene.insert(2)
    expect(await reasonOfFlush(scene, generation)).toBe('slot-lost')
  })

  test('dropped and created by someone else while the connector was away, rows between are covered by a flush', async () => {
    const [scene, connector, generation] = await running()
    await connector.stop()
    await scene.insert(2)
    await drop(scene)
    await create(scene)
    await scene.start()
    expect(await reasonOfFlush(scene, generation)).toBe('slot-recreated')
  })

  test('invalidated while the connector was away, it is made again after a flush', async () => {
    const [scene, connector, generation] = await running()
    await connector.stop()
    await writeMuch(scene)
    expect(await status(scene)).toBe('lost')
    await scene.start()
    expect(await reasonOfFlush(scene, generation)).toBe('slot-lost')
    expect(await status(scene)).not.toBe('lost')
  })

  test('invalidated under a running connector whose log is away, it is made again after a flush', async () => {
    const [scene, , generation] = await running()
    const away = Promise.withResolvers<void>()
    scene.log.hold = away.promise
    await waitFor(async () => {
      await writeMuch(scene)
      await scene.source.query('delete from items where id >= 1000000')
      return (await status(scene)) === 'lost' || scene.generations().length > 1
    }, DEADLINE_MS)
    scene.log.hold = undefined
    away.resolve()
    expect(await reasonOfFlush(scene, generation)).toBe('slot-lost')
    await waitFor(async () => ['reserved', 'extended'].includes(await status(scene)), DEADLINE_MS)
  })
})
