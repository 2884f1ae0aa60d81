import { startPostgres, type PostgresServer } from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from './pg-database.ts'

let server: PostgresServer
beforeAll(async () => void (server = await startPostgres({ needs: 'process' })))
afterAll(() => server.stop())

describe('api/pg-database', () => {
  test('a restart of the server fails no statement that may wait for it, and those that may not', async () => {
    const options = { databaseUrl: server.url, maxConnections: 2, statementTimeoutMs: 5_000 }
    const patient = openDatabase({ ...options, restartWaitMs: 8_000 })
    const hasty = openDatabase(options)
    const read = (database: typeof patient) => database.rows('one', 'select 1 as one')
    // Their idle connections break with the server.
    await Promise.all([read(patient), read(hasty)])
    await server.kill9()
    await expect(read(hasty)).rejects.toMatchObject({ code: 'LOCKSTEP_API_DATABASE_UNREACHABLE' })
    const asked = [read(patient), patient.write('select 2 as two', [])] as const
    await server.restart()
    const [rows, written] = await Promise.all(asked)
    expect([rows, written?.row]).toEqual([[{ one: 1 }], { two: 2 }])
    await Promise.all([patient.close(), hasty.close()])
  })

  test('a write whose session the server ends is repeated, and stands once', async () => {
    const options = { databaseUrl: server.url, maxConnections: 2, statementTimeoutMs: 5_000 }
    const patient = openDatabase({ ...options, restartWaitMs: 8_000 })
    await patient.rows('make', 'create table written (attempt bigint)')
    await patient.rows('count', 'create sequence attempts')
    // A sequence remembers what was rolled back: the first attempt ends its own session, behind its insert.
    const text = `with done as (insert into written values (nextval('attempts')) returning attempt)
      select attempt::int, case when attempt % 2 = 1 then pg_terminate_backend(pg_backend_pid()) end from done`
    await expect(patient.write(text, [])).resolves.toMatchObject({ row: { attempt: 2 } })
    expect(await patient.rows('all', 'select attempt::int from written')).toEqual([{ attempt: 2 }])
    const hasty = openDatabase(options)
    await expect(hasty.write(text, [])).rejects.toMatchObject({ code: 'LOCKSTEP_API_DATABASE_UNREACHABLE' })
    await Promise.all([patient.close(), hasty.close()])
  })

  test('a statement that ran out of its time is not repeated', async () => {
    const database = openDatabase({
      databaseUrl: server.url,
      maxConnections: 1,
      statementTimeoutMs: 50,
      restartWaitMs: 60_000,
    })
    await expect(database.rows('slow', 'select pg_sleep(5)')).rejects.toMatchObject({
      code: 'LOCKSTEP_API_DATABASE_UNREACHABLE',
    })
    await database.close()
  })

  test('a connection that is cut in the middle of a statement fails that statement and nothing else', async () => {
    const database = openDatabase({ databaseUrl: server.url, maxConnections: 1, statementTimeoutMs: 5_000 })
    const [session] = await database.rows<{ pid: number }>('pid', 'select pg_backend_pid() as pid')
    const slow = database.rows('slow', 'select pg_sleep(5)')
    // Now it is lent. A process that is killed says no good-bye.
    await new Promise(setImmediate)
    process.kill(session?.pid ?? 0, 'SIGKILL')
    await expect(slow).rejects.toMatchObject({ code: 'LOCKSTEP_API_DATABASE_UNREACHABLE' })
    await database.close()
  })
})
