import { existsSync, statSync } from 'node:fs'
import { Client } from 'pg'
import { describe, expect, inject, test } from 'vitest'
import { dockerHasImage } from './docker.ts'
import { findPostgres, unprivilegedOwner } from './postgres-binaries.ts'
import { startPostgres, type PostgresServer } from './postgres.ts'
import { childrenOf, isRunning } from './processes.ts'
import { only } from './testing/config.ts'

async function query(url: string, sql: string): Promise<unknown[][]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query({ text: sql, rowMode: 'array' })).rows as unknown[][]
  } finally {
    await client.end().catch(() => {})
  }
}

const local = only('binary')
const docker = only('docker')
const hasImage = await dockerHasImage('postgres:18', docker.dockerHost)
const majors = ([15, 18] as const).filter((major) => findPostgres(major, local.path) !== undefined)

async function rowsAfterKill(postgres: PostgresServer): Promise<unknown[][]> {
  await query(postgres.url, 'create table kept as select 1 as id; insert into kept values (2)')
  await postgres.kill9()
  await expect(query(postgres.url, 'select 1')).rejects.toThrow(/ECONNREFUSED/)
  await postgres.restart()
  return query(postgres.url, 'select id from kept order by id')
}

describe('servers/postgres', () => {
  test('the project provides Postgres 18', async () => {
    const [[version]] = (await query(inject('postgresUrl'), 'show server_version')) as [[string]]
    expect(version).toMatch(/^18/)
  })

  test.each(majors)('a killed Postgres %i comes back on the same port with every committed row', async (major) => {
    const postgres = await startPostgres({ major, needs: 'process' }, local)
    const processes = [postgres.pid, ...childrenOf(postgres.pid)]
    expect(await rowsAfterKill(postgres)).toEqual([[1], [2]])
    expect(processes.filter(isRunning)).toEqual([])
    await postgres.restart('immediate')
    expect(await query(postgres.url, 'select count(*)::int from kept')).toEqual([[2]])
    await postgres.stop()
  })

  test('stop leaves no process and no directory', async () => {
    const postgres = await startPostgres({ major: 'any', needs: 'process' }, local)
    const processes = [postgres.pid, ...childrenOf(postgres.pid)]
    expect(existsSync(postgres.dataDir)).toBe(true)
    await postgres.stop()
    expect(processes.filter(isRunning)).toEqual([])
    expect(existsSync(postgres.dataDir)).toBe(false)
  })

  test('it is ready for logical decoding and takes settings', async () => {
    const settings = { max_slot_wal_keep_size: '8MB' }
    const postgres = await startPostgres({ settings, fsync: true, needs: 'process' }, local)
    const show = async (name: string) => (await query(postgres.url, `show ${name}`))[0]?.[0]
    expect(await show('wal_level')).toBe('logical')
    expect(await show('max_slot_wal_keep_size')).toBe('8MB')
    expect(await show('fsync')).toBe('on')
    await query(postgres.url, "select pg_create_logical_replication_slot('s', 'pgoutput')")
    expect(await query(postgres.url, 'select slot_name from pg_replication_slots')).toEqual([['s']])
    await postgres.stop()
  })

  test.runIf(process.getuid?.() === 0)('it does not run as root', async () => {
    const postgres = await startPostgres({ needs: 'process' }, local)
    expect(statSync(postgres.dataDir).uid).toBe(unprivilegedOwner()?.uid)
    expect(statSync(`/proc/${postgres.pid}`).uid).not.toBe(0)
    await postgres.stop()
  })

  test('a setting Postgres does not know is an error that quotes it', async () => {
    const start = startPostgres({ settings: { no_such_setting: '1' }, needs: 'process' }, local)
    await expect(start).rejects.toThrow(/no_such_setting/)
  })

  test.skipIf(!hasImage)('a container is killed, restarted and removed like a process', async () => {
    const postgres = await startPostgres({ settings: { max_slot_wal_keep_size: '8MB' } }, docker)
    expect(postgres.source).toBe('docker')
    expect(await query(postgres.url, 'show max_slot_wal_keep_size')).toEqual([['8MB']])
    expect(await rowsAfterKill(postgres)).toEqual([[1], [2]])
    await postgres.stop()
    await expect(query(postgres.url, 'select 1')).rejects.toThrow(/ECONNREFUSED/)
  })
})
