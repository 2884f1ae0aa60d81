import { describe, expect, test } from 'vitest'
import { defineErrors } from './errors.ts'
import { createLogger } from './log.ts'

function logged(write: (log: ReturnType<typeof createLogger>) => void, level: 'debug' | 'info' = 'info') {
  const lines: string[] = []
  write(createLogger({ service: 'connector', level, sink: { write: (line) => lines.push(line) } }))
  return { text: lines.join(''), lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

describe('runtime/log', () => {
  test('one call writes one line of JSON with service, fields and message', () => {
    const { lines } = logged((log) => log.child({ stage: 'gate' }).info({ lsn: '0/1' }, 'stream started'))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({
      service: 'connector',
      stage: 'gate',
      lsn: '0/1',
      msg: 'stream started',
      pid: process.pid,
    })
  })

  test('lines below the level are not written', () => {
    expect(logged((log) => log.debug({}, 'event')).lines).toHaveLength(0)
    expect(logged((log) => log.debug({}, 'event'), 'debug').lines).toHaveLength(1)
  })

  test('URLs and passwords are removed wherever options or errors carry them', () => {
    const url = 'postgres://app:hunter2@db/shop'
    const fail = defineErrors('test', {
      LOCKSTEP_TEST_X: { disposition: 'transient', message: 'no answer', remedy: 'Wait.' },
    })
    const { text, lines } = logged((log) => {
      log.info({ url, config: { databaseUrl: url, password: 'hunter2' } }, 'started')
      log.error({ err: new Error(`cannot connect to ${url}`) }, 'failed')
      log.error({ err: fail('LOCKSTEP_TEST_X', { url, table: 'products' }, new Error(url)) }, 'failed')
    })
    expect(lines).toHaveLength(3)
    expect(text).not.toContain('hunter2')
    expect(lines[1]).toMatchObject({ err: { message: 'cannot connect to postgres://app:***@db/shop' } })
    expect(lines[2]).toMatchObject({ err: { code: 'LOCKSTEP_TEST_X', context: { table: 'products' } } })
  })
})
