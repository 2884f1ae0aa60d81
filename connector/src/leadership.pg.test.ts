import { createMetrics } from '@lockstep/runtime'
import type { EventLog } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { readyReasons } from './readiness.ts'
import { createRecordingLog, openTestSource, startOn } from './testing/test-source.ts'
import type { RecordingLog, TestSource } from './testing/test-source.ts'

const SERVERS = [
  ['15', inject('postgres15Url')],
  ['18', inject('postgresUrl')],
] as const
const DEADLINE_MS = 15_000

/** One connector's way into the log that all share; `hold` delays its calls only. */
interface OwnLog extends EventLog {
  hold: Promise<void> | undefined
}

describe.each(SERVERS.filter(([, url]) => url !== ''))('connector/leadership on PostgreSQL %s', (_major, serverUrl) => {
  let source: TestSource
  let log: RecordingLog
  /** Who has had records accepted, in order. */
  let writers: string[]
  const running: { stop(): Promise<void> }[] = []

  beforeEach(async () => {
    source = await openTestSource(serverUrl)
    log = createRecordingLog()
    writers = []
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((connector) => connector.stop()))
    await log.close()
    await source.drop()
  })

  const ownLog = (name: string): OwnLog => {
    const own: OwnLog = {
      ...log,
      hold: undefined,
      async produce(topic, records) {
        await own.hold
        await log.produce(topic, records)
        writers.push(name)
      },
    }
    return own
  }
  const start = async (name: string, deps: Parameters<typeof startOn>[2] = {}) => {
    const own = ownLog(name)
    const connector = await startOn(source, own, deps)
    running.push(connector)
    return { connector, own }
  }
  const insert = (id: number) => source.query('insert into products values ($1, 1)', [id])
  const has = (id: number) => log.changes().some(({ after }) => after['id'] === String(id))
  const LEADER = `select pid from pg_locks where locktype = 'advisory' and granted
    and database = (select oid from pg_database where datname = $1)`
  const leadPid = async () =>
    ((await source.admin.query(LEADER, [source.config.slot])).rows[0] as { pid: number } | undefined)?.pid
  const slotPid = async () => {
    const text = 'select active_pid as pid from pg_replication_slots where slot_name = $1'
    return ((await source.admin.query(text, [source.config.slot])).rows[0] as { pid: number }).pid
  }
  /** Ends the connection that leads, as a network or an administrator would. */
  const takeLeadAway = () =>
    source.admin.query(`select pg_terminate_backend(pid) from (${LEADER}) l`, [source.config.slot])

  test('the second connector stands by, says so and writes nothing', async () => {
    const metrics = [createMetrics(), createMetrics()]
    await start('a', { metrics: metrics[0] })
    const { connector } = await start('b', { metrics: metrics[1] })
    await insert(1)
    await waitFor(() => has(1), DEADLINE_MS)
    expect(connector.status().phase).toBe('standby')
    expect(readyReasons(connector.status(), false)).toEqual({ ready: true, reasons: ['standby'] })
    expect(new Set(writers)).toEqual(new Set(['a']))
    expect(await metrics[0]?.text()).toMatch(/^lockstep_connector_leader 1$/m)
    expect(await metrics[1]?.text()).toMatch(/^lockstep_connector_leader 0$/m)
  })

  test('a waiting standby holds no snapshot that would keep vacuum from its work', async () => {
    await start('a')
    await start('b')
    const { rows } = await source.admin.query(
      `select count(*)::int as n from pg_stat_activity
       where datname = $1 and wait_event_type = 'Lock' and (backend_xmin is not null or wait_event = 'advisory')`,
      [source.config.slot],
    )
    expect(rows).toEqual([{ n: 0 }])
  })

  test('a standby of a source that is not ready does not start', async () => {
    await start('a')
    await source.query('alter table products replica identity nothing')
    await expect(start('b')).rejects.toMatchObject({ disposition: 'config' })
  })

  test('when the active one stops, the standby goes on where it was, in the same generation', async () => {
    const { connector: first } = await start('a')
    const { connector: second } = await start('b')
    await insert(1)
    await waitFor(() => has(1), DEADLINE_MS)
    await first.stop()
    await insert(2)
    await waitFor(() => has(2), DEADLINE_MS)
    expect(second.status().generation).toBe(log.flushes()[0]?.generation)
    expect(log.flushes()).toHaveLength(2)
  })

  test('who loses the lead stops writing before the next one begins, even with records on their way', async () => {
    const { connector: first, own } = await start('a')
    // However slow this machine is: the successor waits as long as it takes.
    await start('b', { unsafe: { graceMs: DEADLINE_MS } })
    await waitFor(() => log.watermarks().length > 4, DEADLINE_MS)
    const gate = Promise.withResolvers<void>()
    own.hold = gate.promise
    await insert(1)
    await waitFor(() => first.status().outstanding === 1, DEADLINE_MS)
    const reader = await slotPid()
    const leader = await leadPid()
    await takeLeadAway()
    await waitFor(async () => ![undefined, leader].includes(await leadPid()), DEADLINE_MS)
    // Far above what the next one needs to begin.
    const begun = performance.now()
    await waitFor(() => writers.includes('b') || performance.now() - begun > 150, DEADLINE_MS)
    expect(await slotPid()).toBe(reader)
    own.hold = undefined
    gate.resolve()
    await waitFor(() => writers.includes('b') && has(1), DEADLINE_MS)
    await waitFor(() => first.status().lastFault.includes('lead'), DEADLINE_MS)
    expect(writers.lastIndexOf('a')).toBeLessThan(writers.indexOf('b'))
  })

  test('under load the lead changes hands many times: nothing is lost and nobody writes out of turn', async () => {
    await start('a')
    await start('b')
    let written = 0
    let isWriting = true
    const writing = (async () => {
      for (; isWriting; written++) await insert(written)
    })()
    for (let round = 0; round < 5; round++) {
      const count = log.watermarks().length
      await waitFor(() => log.watermarks().length > count + 5, DEADLINE_MS)
      await takeLeadAway()
    }
    isWriting = false
    await writing
    await waitFor(() => has(written - 1), DEADLINE_MS)
    expect(new Set(log.changes().map(({ after }) => after['id'])).size).toBe(written)
    // Each loss of the lead ends at most one turn.
    const turns = writers.filter((writer, index) => writer !== writers[index - 1]).length
    expect(turns).toBeLessThanOrEqual(6)
  })

  /** Reads the slot as a walsender would whose process hangs: it never answers. */
  const holdSlot = async (applicationName: string) => {
    const options = { connectionString: source.url, application_name: applicationName, replication: 'database' }
    const client = new pg.Client(options as pg.ClientConfig)
    const ended = new Promise<void>((resolve) => client.once('end', () => resolve()))
    client.on('error', () => undefined)
    await client.connect()
    const { slot, publication } = source.config
    client
      .query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${publication}"')`)
      .catch(() => undefined)
    await waitFor(async () => {
      const { rows } = await source.admin.query('select active from pg_replication_slots where slot_name = $1', [slot])
      return (rows[0] as { active: boolean }).active
    }, DEADLINE_MS)
    return { ended, end: () => client.end() }
  }

  test('a walsender of our own that was left behind is ended', async () => {
    await (await start('a')).connector.stop()
    const stale = await holdSlot(`lockstep ${source.config.namespace}`)
    const { connector } = await start('b')
    await stale.ended
    await insert(1)
    await waitFor(() => has(1), DEADLINE_MS)
    expect(connector.status().phase).toBe('running')
  })

  test('a reader that is not ours keeps the slot until it lets go', async () => {
    await (await start('a')).connector.stop()
    const foreign = await holdSlot('pg_recvlogical')
    let hasEnded = false
    void foreign.ended.then(() => (hasEnded = true))
    const starting = start('b')
    // Longer than the grace that a walsender of ours has.
    const begun = performance.now()
    await waitFor(() => performance.now() - begun > 1_000, DEADLINE_MS)
    expect(hasEnded).toBe(false)
    await foreign.end()
    await starting
    await insert(1)
    await waitFor(() => has(1), DEADLINE_MS)
  })
})
