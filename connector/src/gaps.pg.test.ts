import { createMetrics } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { createRecordingLog, openTestSource, startOn } from './testing/test-source.ts'
import type { RecordingLog, TestSource } from './testing/test-source.ts'

const SERVERS = [
  ['15', inject('postgres15Url')],
  ['18', inject('postgresUrl')],
] as const
const DEADLINE_MS = 20_000

describe.each(SERVERS.filter(([, url]) => url !== ''))('connector/gaps on PostgreSQL %s', (major, serverUrl) => {
  let source: TestSource
  let log: RecordingLog
  const running: { stop(): Promise<void> }[] = []

  beforeEach(async () => {
    source = await openTestSource(serverUrl)
    log = createRecordingLog()
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((connector) => connector.stop()))
    await log.close()
    await source.drop()
  })

  const start = async (deps: Parameters<typeof startOn>[2] = {}) => {
    const connector = await startOn(source, log, deps)
    running.push(connector)
    return connector
  }
  const born = (): number => log.flushes()[0]?.generation ?? 0
  const insert = (id: number) => source.query('insert into products values ($1, 1)', [id])
  const has = (id: number) => log.changes().some(({ after }) => after['id'] === String(id))
  const CREATE = `select pg_create_logical_replication_slot($1, 'pgoutput')`
  const onSlot = (sql: string) => source.admin.query(sql, [source.config.slot])
  /** On a connection to the source's own database, where slots for it are made. */
  const create = () => source.query(CREATE, [source.config.slot])
  /** Whoever reads it. */
  const drop = async () => {
    await waitFor(async () => {
      await onSlot('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1')
      return await onSlot('select pg_drop_replication_slot($1)').then(
        () => true,
        () => false,
      )
    }, DEADLINE_MS)
  }
  /** The newest generation and why it began, once a row written after its flush has arrived behind it. */
  const answer = async (id: number) => {
    await waitFor(() => log.flushes().at(-1)?.generation !== born(), DEADLINE_MS)
    await insert(id)
    await waitFor(() => has(id), DEADLINE_MS)
    const kinds = log.events.map(({ event }) => event)
    const lastFlush = kinds.findLastIndex(({ kind }) => kind === 'flush')
    expect(kinds.findIndex((event) => event.kind === 'change' && event.after['id'] === String(id))).toBeGreaterThan(
      lastFlush,
    )
    return log.flushes().at(-1)
  }
  const recreated = () => ({ reason: 'slot-recreated', generation: born() + 1, edge: true })

  test('a slot made again under its name while the connector is away begins a generation', async () => {
    await (await start()).stop()
    await drop()
    await insert(1)
    await create()
    await start()
    expect(await answer(2)).toMatchObject(recreated())
    expect(has(1)).toBe(false)
  })

  test('a slot made again under its name right after the reader crashed begins a generation', async () => {
    const first = await start()
    await insert(1)
    await waitFor(() => has(1), DEADLINE_MS)
    // As kill -9 does: nothing is said to anybody. The old reader must not come back before the new one.
    log.isRefusing = true
    await source.admin.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid() and application_name like $2',
      [source.config.slot, 'lockstep %'],
    )
    await first.stop()
    await drop()
    await insert(2)
    await create()
    log.isRefusing = false
    await start()
    expect(await answer(3)).toMatchObject(recreated())
  })

  test('a slot advanced by hand begins a generation', async () => {
    await (await start()).stop()
    await insert(1)
    const advance = () =>
      source.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [source.config.slot]).then(
        () => true,
        () => false,
      )
    await waitFor(advance, DEADLINE_MS)
    await start()
    expect(await answer(2)).toMatchObject(recreated())
  })

  test('a slot that was only read further begins none', async () => {
    for (let round = 0; round < 4; round++) {
      const connector = await start()
      await insert(round)
      await waitFor(() => has(round), DEADLINE_MS)
      await connector.stop()
    }
    expect(new Set(log.flushes().map(({ generation }) => generation)).size).toBe(1)
  })

  test('a database that is read-only by default still lets the slot move', async () => {
    const end = async () => String((await source.query('select pg_current_wal_lsn()::text as lsn')).rows[0]?.lsn)
    await source.admin.query(`alter database ${source.config.slot} set default_transaction_read_only = on`)
    await start()
    await insert(1)
    const target = await end()
    const hasMoved = async () => {
      const text = 'select confirmed_flush_lsn >= $2::pg_lsn as moved from pg_replication_slots where slot_name = $1'
      const { rows } = await source.admin.query(text, [source.config.slot, target])
      return (rows[0] as { moved: boolean }).moved
    }
    await waitFor(hasMoved, DEADLINE_MS)
    expect(has(1)).toBe(true)
  })

  test('past the bound of an hour it waits, says why, and goes on when there is room again', async () => {
    const config = { maxGenerationsPerHour: 1 }
    await (await start({ config })).stop()
    await drop()
    await (await start({ config })).stop()
    await drop()
    const giveUp = new AbortController()
    const warned: string[] = []
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: (data: object) => void warned.push(String((data as { err?: Error }).err?.message)),
      error: () => undefined,
      child: () => logger,
    }
    const starting = startOn(source, log, { config, logger, signal: giveUp.signal })
    await waitFor(() => warned.some((message) => message.includes('generations begin too often: 1 gaps')), DEADLINE_MS)
    expect(log.flushes().at(-1)?.generation).toBe(born() + 1)
    await source.query(`update lockstep.epoch set gaps = array[now() - interval '61 minutes']`)
    running.push(await starting)
    expect(log.flushes().at(-1)?.generation).toBe(born() + 2)
  })

  test('starts without a gap are never bounded', async () => {
    const config = { maxGenerationsPerHour: 1, temporarySlot: true }
    for (let round = 0; round < 4; round++) await (await start({ config })).stop()
    expect(log.flushes().at(-1)?.generation).toBe(born() + 3)
  })

  test('standbys may keep a copy of the slot where they can, unless that is switched off', async () => {
    const failover = async () =>
      (await onSlot(`select to_jsonb(s) -> 'failover' as failover from pg_replication_slots s where slot_name = $1`))
        .rows
    await (await start()).stop()
    expect(await failover()).toEqual([{ failover: major === '18' ? true : null }])
    await drop()
    await (await start({ config: { failoverSlot: false } })).stop()
    expect(await failover()).toEqual([{ failover: major === '18' ? false : null }])
  })

  test('what the slot retains and the age of the oldest transaction are measured', async () => {
    const metrics = createMetrics()
    await start({ metrics })
    const open = await source.connect()
    await open.query('begin; insert into products values (1, 1)')
    const value = async (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await metrics.text())?.[1])
    await waitFor(async () => (await value('lockstep_oldest_transaction_seconds')) > 1, DEADLINE_MS)
    expect(await value('lockstep_slot_retained_bytes')).toBeGreaterThan(0)
    expect(await metrics.text()).toContain('lockstep_slot_wal_status{status="reserved"} 1')
    await open.query('rollback')
    await waitFor(async () => (await value('lockstep_oldest_transaction_seconds')) === 0, DEADLINE_MS)
  })
})
