import { TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { encodeControl, generationOf, parseLsn, parseRules } from '@lockstep/schemas'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { createRecordingLog, openTestSource, startOn } from './testing/test-source.ts'
import type { RecordingLog, TestSource } from './testing/test-source.ts'

const SERVERS = [
  ['15', inject('postgres15Url')],
  ['18', inject('postgresUrl')],
] as const
const DEADLINE_MS = 15_000

/** Tells what a stamp can tell alone: without running transactions a snapshot sees every xid below its xmax. */
function isSeenBy(stamp: string, xid: bigint): boolean {
  return stamp.endsWith('ffff') && xid < BigInt(`0x${stamp.slice(8, 24)}`)
}

describe.each(SERVERS.filter(([, url]) => url !== ''))('connector on PostgreSQL %s', (_major, serverUrl) => {
  let source: TestSource
  let log: RecordingLog
  const running: { stop(): Promise<void> }[] = []

  beforeEach(async () => {
    source = await openTestSource(serverUrl)
    log = createRecordingLog()
  })
  afterEach(async () => {
    await source.admin.query('alter system reset synchronous_standby_names')
    await source.admin.query('select pg_reload_conf()')
    await Promise.all(running.splice(0).map((connector) => connector.stop()))
    await log.close()
    await source.drop()
  })

  const start = async (deps: Parameters<typeof startOn>[2] = {}, target = log) => {
    const connector = await startOn(source, target, deps)
    running.push(connector)
    return connector
  }
  /** The generation that the first start of the test began. */
  const born = (): number => log.flushes()[0]?.generation ?? 0
  const slotLsn = async () => {
    const { rows } = await source.admin.query(
      'select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
      [source.config.slot],
    )
    return parseLsn((rows[0] as { lsn: string }).lsn)
  }
  const setStandbys = async (names: string) => {
    await source.admin.query(`alter system set synchronous_standby_names = '${names}'`)
    await source.admin.query('select pg_reload_conf()')
  }
  /** Inserts rows from id 100 on until a commit hangs: the setting takes effect some time after its reload. */
  const insertHanging = async () => {
    await setStandbys('ghost')
    const writer = await source.connect()
    const { rows } = await writer.query('select pg_backend_pid() as pid')
    const { pid } = rows[0] as { pid: number }
    const isWaiting = async () => {
      const wait = await source.admin.query(
        `select 1 from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`,
        [pid],
      )
      return wait.rows.length === 1
    }
    for (let id = 100; ; id++) {
      let isCommitted = false
      const committed = writer.query('insert into products values ($1, 1)', [id]).then(() => (isCommitted = true))
      await waitFor(async () => isCommitted || (await isWaiting()), DEADLINE_MS)
      if (!isCommitted) return { id: String(id), committed }
    }
  }

  test('every kind of change arrives with both rows, NULL and one table-wide truncate', async () => {
    await start()
    await source.query(`insert into products values (1, 5, repeat('x', 5000))`)
    await source.query('update products set category_id = null where id = 1')
    await source.query('update products set id = 2 where id = 1')
    await source.query('delete from products')
    await source.query('truncate products')
    await waitFor(() => log.changes().length === 5, DEADLINE_MS)
    expect(log.changes().map(({ op, before, after }) => [op, { ...before }, { ...after }])).toEqual([
      ['insert', {}, { id: '1', category_id: '5' }],
      ['update', { id: '1', category_id: '5' }, { id: '1', category_id: null }],
      ['update', { id: '1', category_id: null }, { id: '2', category_id: null }],
      ['delete', { id: '2', category_id: null }, {}],
      ['truncate', {}, {}],
    ])
  })

  test('an unchanged TOAST value is absent from the new row', async () => {
    const rules = parseRules('tables:\n  public.products:\n    - tag: product:{id}\n      watch: [body]\n')
    await start({ rules })
    await source.query(`insert into products values (1, 5, repeat('x', 5000))`)
    await source.query('update products set category_id = 6 where id = 1')
    await waitFor(() => log.changes().length === 2, DEADLINE_MS)
    const { before, after } = log.changes()[1] ?? {}
    expect([{ ...before }, { ...after }]).toEqual([{ id: '1', body: 'x'.repeat(5000) }, { id: '1' }])
  })

  test('the first record of every partition is the flush of the first generation', async () => {
    await start()
    await source.query('insert into products values (1, 1)')
    await waitFor(() => log.changes().length === 1, DEADLINE_MS)
    expect(log.events.slice(0, 2)).toMatchObject([
      { event: { kind: 'flush', generation: born(), edge: true, partitions: 2 }, partition: 0 },
      { event: { kind: 'flush', generation: born() }, partition: 1 },
    ])
    expect(log.changes()[0]?.stamp.slice(0, 8)).toBe(born().toString(16).padStart(8, '0'))
  })

  test('a database made anew begins above every generation that its predecessor had', async () => {
    const first = await start()
    await first.stop()
    const requested = born() + 1
    await source.query('drop schema lockstep cascade')
    const secondOfServer = async (): Promise<number> => {
      const { rows } = await source.admin.query('select floor(extract(epoch from now()))::int as s')
      return (rows[0] as { s: number }).s
    }
    await waitFor(async () => (await secondOfServer()) >= requested, DEADLINE_MS)
    expect((await start()).status().generation).toBeGreaterThanOrEqual(requested)
  })

  test('a requested generation is flushed before any change that carries it', async () => {
    const connector = await start()
    let stopWriting = false
    const writing = (async () => {
      for (let id = 0; !stopWriting; id++) await source.query('insert into products values ($1, 1)', [id])
    })()
    await waitFor(() => log.changes().length > 20, DEADLINE_MS)
    const request = { kind: 'new-generation', above: born() + 6, reason: 'redis-emptied', edge: false } as const
    await log.produce(TOPICS.control, [{ key: null, value: encodeControl(request) }])
    await waitFor(() => connector.status().generation === born() + 7, DEADLINE_MS)
    const before = log.changes().length
    await waitFor(() => log.changes().length > before + 20, DEADLINE_MS)
    stopWriting = true
    await writing
    const kinds = log.events.map(({ event }) => event).filter(({ kind }) => kind !== 'watermark')
    const requested = born() + 7
    const flushes = kinds.flatMap((event, index) =>
      event.kind === 'flush' && event.generation === requested ? [index] : [],
    )
    expect(flushes).toHaveLength(2)
    const misplaced = kinds.filter(
      (event, index) =>
        event.kind === 'change' && (generationOf(event.stamp) === requested) !== index > (flushes[1] ?? 0),
    )
    expect(misplaced).toEqual([])
    expect(log.flushes().at(-1)).toMatchObject({ edge: false, reason: 'redis-emptied' })
  })

  test('a generation raised but not announced is flushed again at the next start', async () => {
    const first = await start()
    await first.stop()
    await source.query('update lockstep.epoch set announced = false')
    const flushes = log.flushes().length
    await start()
    await waitFor(() => log.flushes().length === flushes + 2, DEADLINE_MS)
    expect(log.flushes().at(-1)?.generation).toBe(born())
    const { rows } = await source.query('select announced from lockstep.epoch')
    expect(rows).toEqual([{ announced: true }])
  })

  test('a lost slot begins a new generation, and the stream goes on', async () => {
    const first = await start()
    await first.stop()
    await source.admin.query('select pg_drop_replication_slot($1)', [source.config.slot])
    const second = await start()
    expect(second.status().generation).toBe(born() + 1)
    expect(log.flushes().at(-1)).toMatchObject({ generation: born() + 1, reason: 'slot-lost', edge: true })
  })

  test.each([
    ['made again', 'drop publication lockstep; create publication lockstep for table products', 1],
    ['altered', 'create table other (id int primary key); alter publication lockstep add table other', 1],
    ['left alone', 'select 1', 0],
  ])(
    'a publication that was %s while the connector was away begins generation only if it changed',
    async (_how, sql, raises) => {
      await (await start()).stop()
      await source.query(sql)
      await source.query('insert into products values (1, 1)')
      const second = await start()
      await source.query('insert into products values (2, 2)')
      await waitFor(() => log.changes().some(({ after }) => after['id'] === '2'), DEADLINE_MS)
      expect(second.status().generation).toBe(born() + raises)
    },
  )

  test('a publication dropped while the stream runs is noticed, made again and begins a generation', async () => {
    const connector = await start()
    await source.query('drop publication lockstep')
    await source.query('insert into products values (1, 1)')
    // The default contract: what is not published meanwhile goes by unseen, while watermarks vouch for it.
    await waitFor(() => connector.status().generation === born() + 1, 5_000)
    await source.query('insert into products values (2, 2)')
    await waitFor(() => log.changes().some(({ after }) => after['id'] === '2'), DEADLINE_MS)
    expect(log.flushes().at(-1)).toMatchObject({ generation: born() + 1, reason: 'publication-lost' })
  })

  test('a start that dies between slot and flush is finished by the next one', async () => {
    const giveUp = new AbortController()
    log.isRefusing = true
    const dying = startOn(source, log, { signal: giveUp.signal })
    const hasSlot = async () => {
      const { rows } = await source.admin.query('select 1 from pg_replication_slots where slot_name = $1', [
        source.config.slot,
      ])
      return rows.length === 1
    }
    await waitFor(hasSlot, DEADLINE_MS)
    giveUp.abort()
    await expect(dying).rejects.toMatchObject({ disposition: 'aborted' })
    log.isRefusing = false
    await start()
    // It stands by until the server has noticed that the other one is gone.
    await waitFor(() => log.flushes().length >= 2, DEADLINE_MS)
    expect(log.flushes().map(({ generation }) => generation)).toEqual([born(), born()])
  })

  test('a temporary slot leaves nothing behind and begins a generation each time', async () => {
    const first = await start({ config: { temporarySlot: true } })
    await source.query('insert into products values (1, 1)')
    await waitFor(() => log.changes().length === 1, DEADLINE_MS)
    await first.stop()
    await waitFor(async () => {
      const { rows } = await source.admin.query('select 1 from pg_replication_slots where slot_name like $1', [
        `${source.config.slot}%`,
      ])
      return rows.length === 0
    }, DEADLINE_MS)
    const second = await start({ config: { temporarySlot: true } })
    expect(second.status().generation).toBe(born() + 1)
  })

  test('a commit that a missing standby keeps invisible is held, and holds nothing else', async () => {
    const connector = await start()
    const local = await source.connect()
    await local.query('set synchronous_commit = local')
    const { id, committed } = await insertHanging()
    await waitFor(() => connector.status().waiting === 1, DEADLINE_MS)
    await local.query('insert into products values (2, 2)')
    const find = (wanted: string) => log.changes().find(({ after }) => after['id'] === wanted)
    await waitFor(() => find('2') !== undefined, DEADLINE_MS)
    const marks = log.watermarks().length
    await waitFor(() => log.watermarks().length > marks + 4, DEADLINE_MS)
    expect(find(id)).toBeUndefined()
    const { rows } = await local.query('select id from products where id = $1', [id])
    expect(rows).toEqual([])
    await setStandbys('')
    await committed
    await waitFor(() => find(id) !== undefined, DEADLINE_MS)
    // Its stamp is that of a snapshot that sees it, so it lies above the one that passed first.
    expect((find(id)?.stamp ?? '') > (find('2')?.stamp ?? '')).toBe(true)
  })

  test('with the gate switched off that commit leaves while no reader sees it: the protection is real', async () => {
    await start({ unsafe: { noGate: true } })
    const { id, committed } = await insertHanging()
    await waitFor(() => log.changes().some(({ after }) => after['id'] === id), DEADLINE_MS)
    const { rows } = await source.query('select id from products where id = $1', [id])
    expect(rows).toEqual([])
    await setStandbys('')
    await committed
  })

  test('the watermark advances on an idle database, and past WAL that nobody reads', async () => {
    await start()
    const count = log.watermarks().length
    await waitFor(() => log.watermarks().length > count + 10, DEADLINE_MS)
    // Asynchronous commits and unpublished tables leave WAL behind the last published commit.
    await source.query('create table other (id int); set synchronous_commit = off')
    await source.query('insert into other select generate_series(1, 5000)')
    const { rows } = await source.query('select pg_current_wal_insert_lsn()::text as lsn')
    const target = parseLsn((rows[0] as { lsn: string }).lsn)
    await waitFor(() => log.watermarks().some(({ lsn }) => lsn >= target), DEADLINE_MS)
    await waitFor(async () => (await slotLsn()) >= target, DEADLINE_MS)
    expect((await slotLsn()) >= target).toBe(true)
  })

  test('under load no watermark stands before a change that it sees', async () => {
    await start()
    const writers = await Promise.all([0, 1, 2, 3].map(() => source.connect()))
    await Promise.all(
      writers.map(async (writer, index) => {
        for (let round = 0; round < 100; round++)
          await writer.query('insert into products values ($1, 1)', [index * 1000 + round])
      }),
    )
    await waitFor(() => log.changes().length === 400, DEADLINE_MS)
    const count = log.watermarks().length
    await waitFor(() => log.watermarks().length > count, DEADLINE_MS)
    let newest = ''
    const early = log.events.filter(({ event }) => {
      if (event.kind === 'watermark') newest = event.stamp
      return event.kind === 'change' && (event.stamp < newest || isSeenBy(newest, event.xid))
    })
    expect(early).toEqual([])
  })

  test('nothing is acknowledged to Postgres before the log has acknowledged it', async () => {
    const connector = await start()
    await waitFor(() => log.watermarks().length > 2, DEADLINE_MS)
    const gate = Promise.withResolvers<void>()
    log.hold = gate.promise
    await source.query('insert into products values (1, 1)')
    const { rows } = await source.query('select pg_current_wal_lsn()::text as lsn')
    const after = parseLsn((rows[0] as { lsn: string }).lsn)
    await waitFor(() => connector.status().outstanding === 1, DEADLINE_MS)
    await source.query('insert into products values (2, 2)')
    await waitFor(() => connector.status().outstanding === 2, DEADLINE_MS)
    expect((await slotLsn()) < after).toBe(true)
    log.hold = undefined
    gate.resolve()
    await waitFor(async () => (await slotLsn()) >= after, DEADLINE_MS)
  })

  test('many rows of one transaction collapse into one bulk change after the bound', async () => {
    await start({ config: { bulkRows: 100 } })
    await source.query('insert into products select g, 1 from generate_series(1, 1000) g')
    await source.query('insert into products values (0, 0)')
    await waitFor(() => log.changes().some(({ after }) => after['id'] === '0'), DEADLINE_MS)
    const ops = log.changes().map(({ op }) => op)
    expect(ops.filter((op) => op === 'insert')).toHaveLength(101)
    expect(ops.filter((op) => op === 'bulk')).toHaveLength(1)
  })

  test('a dropped rule column turns changes into unknown ones, and the stream goes on', async () => {
    const connector = await start()
    await source.query('alter table products rename column category_id to category')
    await source.query('insert into products values (1, 1)')
    await waitFor(() => log.changes().length === 1, DEADLINE_MS)
    expect(log.changes()[0]).toMatchObject({ op: 'unknown', table: 'public.products' })
    expect(connector.status().phase).toBe('running')
  })

  test('while the log is away reading pauses, memory is bounded and the server keeps the connection', async () => {
    await source.admin.query(`alter database ${source.config.slot} set wal_sender_timeout = '1s'`)
    const connector = await start({ config: { maxBufferedBytes: 65_536 } })
    await waitFor(() => log.watermarks().length > 2, DEADLINE_MS)
    const gate = Promise.withResolvers<void>()
    log.hold = gate.promise
    const started = performance.now()
    for (let round = 0; round < 20; round++)
      await source.query('insert into products select g, 1 from generate_series($1::int, $1 + 999) g', [round * 1000])
    // Longer than two timeouts: a reader that is paused and says nothing would be cut off by then.
    await waitFor(() => performance.now() - started > 2_500, DEADLINE_MS)
    expect(connector.status().outstanding).toBeLessThan(20)
    expect(connector.status().lastFault).toBe('')
    log.hold = undefined
    gate.resolve()
    await waitFor(() => log.changes().length === 20_000, DEADLINE_MS)
    expect(connector.status().lastFault).toBe('')
  })

  test('a killed walsender costs a reconnect, never a change', async () => {
    const connector = await start()
    for (let round = 0; round < 20; round++) {
      await source.query('insert into products values ($1, 1)', [round])
      if (round % 4 === 0)
        await source.admin.query(
          'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1',
          [source.config.slot],
        )
    }
    const ids = () => new Set(log.changes().map(({ after }) => after['id']))
    await waitFor(() => ids().size === 20, DEADLINE_MS)
    await waitFor(() => connector.status().phase === 'running', DEADLINE_MS)
    expect(connector.status().generation).toBe(born())
  })
})
