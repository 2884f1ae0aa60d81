import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startConnector, type Check, type ConnectorConfig } from '@lockstep/connector'
import { createMemoryLog, silentLogger, TOPICS } from '@lockstep/runtime'
import { decodeEvent } from '@lockstep/schemas'
import { pollUntil, startPostgres, type PostgresServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { lockstep } from '../process.ts'
import { startPooler } from './pooler.ts'
import { bareDatabase, connectorConfig, RULES, RULES_TEXT, run, soundSource, urlOf } from './sound-source.ts'

const DEADLINE_MS = 10_000

let directory: string
let rulesFile: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'lockstep-doctor-'))
  rulesFile = join(directory, 'rules.yaml')
  writeFileSync(rulesFile, RULES_TEXT)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Outcome {
  readonly code: number | null
  readonly output: string
}

/** Runs the real command until it ends. */
async function doctor(url: string, ...args: readonly string[]): Promise<Outcome> {
  const running = lockstep('doctor', ['--database-url', url, '--rules', rulesFile, ...args]).start()
  const [code] = (await once(running.child, 'close')) as [number | null]
  return { code, output: running.output }
}

/** Starts a connector; answers the changes that it has published, as `op table id`. */
async function publishedBy(config: ConnectorConfig): Promise<string[]> {
  const log = createMemoryLog({ partitions: { changes: 1 } })
  const published: string[] = []
  await log.consume({ topic: TOPICS.changes, group: 'test' }, (batch) => {
    for (const { value } of batch.records) {
      const event = decodeEvent(value)
      if (event.kind === 'change') published.push(`${event.op} ${event.table} ${event.before.id ?? event.after.id}`)
    }
    batch.commit()
    return Promise.resolve()
  })
  const connector = await startConnector(config, { log, logger: silentLogger, rules: RULES, memoryLog: true })
  onTestFinished(async () => {
    await connector.stop()
    await log.close()
  })
  return published
}

describe.each([15, 18] as const)('itest/doctor-sql on PostgreSQL %s', (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({ major, needs: 'process', settings: { max_slot_wal_keep_size: '1GB' } })
  })
  afterAll(() => server?.stop())

  test('the role that is printed is enough for doctor and connector, and may read no table', async () => {
    const database = await bareDatabase(server)
    const admin = urlOf(server, database)
    const role = `${database}_role`
    const { code, output } = await doctor(admin, '--sql', '--role', role)
    expect(code).toBe(0)
    await run(admin, output)
    // It may be run again, and a running connector finds nothing changed.
    const memberships = 'select oid, prrelid from pg_publication_rel order by 1'
    const { rows } = await run(admin, memberships)
    await run(admin, output)
    expect((await run(admin, memberships)).rows).toEqual(rows)
    await run(admin, `alter role ${role} password '${role}'`)
    const url = urlOf(server, database, role)
    expect(await doctor(url, '--slot', database, '--strict')).toMatchObject({ code: 0 })

    const published = await publishedBy(connectorConfig(url, database))
    await run(
      admin,
      `insert into shop.products values (1, 7); update shop.products set category_id = 8;
      insert into shop.orders values (5, 1), (1500, 1); delete from shop.orders where id = 1500`,
    )
    expect(await pollUntil(() => published.length === 5, DEADLINE_MS)).toBe(true)
    expect(published).toEqual([
      'insert shop.products 1',
      'update shop.products 1',
      'insert shop.orders 5',
      'insert shop.orders 1500',
      'delete shop.orders 1500',
    ])
    // Beside a running connector everything is as sound as before.
    expect(await doctor(url, '--slot', database, '--strict')).toMatchObject({ code: 0 })
    await expect(run(url, 'select 1 from shop.products')).rejects.toThrow(/permission denied/)
    // A standby takes over by ending the walsender of its predecessor, which has the same role.
    const end = 'select pg_terminate_backend(pid) as ended from pg_stat_replication where usename = current_user'
    expect((await run(url, end)).rows).toEqual([{ ended: true }])
  })

  test('the exit code tells errors (1), warnings where they are asked for (2), and neither (0)', async () => {
    const source = await soundSource(server)
    onTestFinished(() => source.close())
    const url = source.config.databaseUrl
    expect((await doctor(url, '--strict')).code).toBe(0)
    const admin = urlOf(server, source.database)
    expect((await doctor(admin)).code).toBe(0)
    const warned = await doctor(admin, '--strict')
    expect(warned.output).toMatch(/^warn {2}superuser /m)
    expect(warned.output).toMatch(/\n0 errors, 1 warnings\n$/)
    expect(warned.code).toBe(2)

    await source.query('alter table shop.orders replica identity nothing')
    const refused = await doctor(url, '--json')
    expect(refused.code).toBe(1)
    const { checks } = JSON.parse(refused.output) as { checks: Check[] }
    expect(checks.filter(({ severity }) => severity === 'error')).toEqual([
      {
        name: 'replica-identity',
        severity: 'error',
        message: `shop.orders has no replica identity: once published, the application's own UPDATE and DELETE fail`,
        remedy: 'ALTER TABLE "shop"."orders" REPLICA IDENTITY DEFAULT;',
        isSql: true,
      },
    ])
    for (const { severity, isSql, remedy } of checks) if (severity === 'error' && isSql) await source.apply(remedy)
    expect((await doctor(url, '--json', '--strict')).code).toBe(0)
  })

  test.each([
    ['refuses replication is an error', false, 'error'],
    ['passes replication on is a warning', true, 'warn'],
  ] as const)('a pooler that %s, and is named', async (_what, takesReplication, severity) => {
    const source = await soundSource(server)
    onTestFinished(() => source.close())
    const pooler = await startPooler(server, takesReplication)
    onTestFinished(() => pooler.close())
    const direct = source.config
    const url = Object.assign(new URL(direct.databaseUrl), { port: pooler.port })
    source.config = { ...direct, databaseUrl: url.href }
    const remedy = 'put host and port of the primary itself into the URL of the database, not those of the pooler'
    expect(await source.findings()).toEqual([{ name: 'pooler', severity, remedy }])
    source.config = direct
    expect(await source.findings()).toEqual([])
  })

  test('a standby is refused, and once promoted it is sound', async () => {
    const source = await soundSource(server)
    onTestFinished(() => source.close())
    writeFileSync(join(server.dataDir, 'standby.signal'), '')
    await server.restart()
    expect(await source.findings()).toEqual([{ name: 'primary', severity: 'error', remedy: 'connect to the primary' }])
    await source.query('select pg_promote()')
    expect(await source.findings()).toEqual([])
  })

  test('a lost slot is a warning where the connector may make it anew, else an error, and its remedy mends both', async () => {
    const source = await soundSource(server)
    onTestFinished(() => source.close())
    const { database } = source
    await source.query(`select pg_create_logical_replication_slot('${database}', 'pgoutput')`)
    await source.query(`alter system set max_slot_wal_keep_size = '1MB'`)
    await source.query('select pg_reload_conf()')
    for (let round = 0; round < 4; round++) {
      await source.query(`select pg_logical_emit_message(false, 'filler', repeat('x', 100000))`)
      await source.query('select pg_switch_wal()')
    }
    await source.query('checkpoint')
    const drop = `SELECT pg_drop_replication_slot('${database}');`
    expect(await source.eventually(1)).toEqual([
      { name: 'slot', severity: 'warn', remedy: `${drop} -- the connector makes it anew and flushes every layer` },
    ])
    source.config = { ...source.config, createSlot: false }
    const failover = major >= 17 ? ', failover => true' : ''
    const create = `SELECT pg_create_logical_replication_slot('${database}', 'pgoutput'${failover}); -- every layer is flushed`
    const [finding] = await source.findings()
    expect(finding).toEqual({ name: 'slot', severity: 'error', remedy: `${drop}\n${create}` })
    await source.apply(finding?.remedy ?? '')
    expect(await source.findings()).toEqual([])
  })
})
