import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeConfig, loadConfig, maskUrl, printConfig, type ConfigSources } from './config.ts'
import { LockstepError } from './errors.ts'

const table = {
  slotName: {
    env: 'LOCKSTEP_TEST_SLOT_NAME',
    type: Type.String({ pattern: '^[a-z_]+$' }),
    default: 'orders',
    desc: 'Slot.',
  },
  databaseUrl: { env: 'LOCKSTEP_TEST_DATABASE_URL', type: Type.String(), secret: true, desc: 'Source database.' },
  waitMs: { env: 'LOCKSTEP_TEST_WAIT_MS', type: Type.Integer({ minimum: 1 }), default: 50, unit: 'ms', desc: 'Wait.' },
  isVerbose: { env: 'LOCKSTEP_TEST_VERBOSE', type: Type.Boolean(), default: false, desc: 'Says more.' },
  brokers: { env: 'LOCKSTEP_TEST_BROKERS', type: Type.Array(Type.String()), default: ['a:1'], desc: 'Brokers.' },
  mode: {
    env: 'LOCKSTEP_TEST_MODE',
    type: Type.Union([Type.Literal('soft'), Type.Literal('hard')]),
    default: 'soft',
    desc: 'Mode.',
  },
} as const

const LOCKSTEP_TEST_DATABASE_URL = 'postgres://app:hunter2@db:5432/shop'
const env = { LOCKSTEP_TEST_DATABASE_URL }

function faultsOf(sources: ConfigSources): string {
  try {
    loadConfig(table, sources)
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'LOCKSTEP_CFG_INVALID' && error.disposition === 'config')
      return error.message
    throw error
  }
  throw new Error('the configuration was accepted')
}

describe('runtime/config', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-config-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('a flag wins over the environment, the environment over the default', () => {
    const set = { ...env, LOCKSTEP_TEST_WAIT_MS: '70', LOCKSTEP_TEST_SLOT_NAME: 'from_env' }
    const config = loadConfig(table, {
      env: set,
      argv: ['--slot-name', 'from_flag', '--is-verbose', '--brokers=a:1,b:2'],
    })
    expect(config).toEqual({
      slotName: 'from_flag',
      databaseUrl: LOCKSTEP_TEST_DATABASE_URL,
      waitMs: 70,
      isVerbose: true,
      brokers: ['a:1', 'b:2'],
      mode: 'soft',
    })
  })

  test('values are frozen, lists too', () => {
    const config = loadConfig(table, { env })
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.isFrozen(config.brokers)).toBe(true)
    expect(Object.isFrozen(table.brokers.default)).toBe(false)
  })

  test('all faults are reported together and none shows a value', () => {
    const secret = 'hunter2'
    const message = faultsOf({
      env: {
        LOCKSTEP_TEST_SLOT_NAME: secret,
        LOCKSTEP_TEST_WAIT_MS: secret,
        LOCKSTEP_TEST_VERBOSE: secret,
        LOCKSTEP_TEST_MODE: secret,
      },
      argv: [secret, `--brokrs=${secret}`, '--wait', secret],
    })
    expect(message).toContain('LOCKSTEP_TEST_DATABASE_URL (--database-url): is required. Source database.')
    expect(message).toContain('LOCKSTEP_TEST_SLOT_NAME (--slot-name): must be a string matching ^[a-z_]+$')
    expect(message).toContain('LOCKSTEP_TEST_WAIT_MS (--wait-ms): must be an integer >= 1')
    expect(message).toContain('LOCKSTEP_TEST_VERBOSE (--is-verbose): must be a boolean')
    expect(message).toContain('LOCKSTEP_TEST_MODE (--mode): must be one of soft, hard')
    expect(message).toContain('--brokrs: no such option; did you mean --brokers?')
    expect(message).toContain('--wait: no such option; did you mean --wait-ms?')
    expect(message).toContain('argument 1: belongs to no flag')
    expect(message).not.toContain(secret)
  })

  test('a flag without a value is a fault and never swallows the next flag', () => {
    const message = faultsOf({ env, argv: ['--slot-name', '--wait-ms', '0'] })
    expect(message).toContain('--slot-name: needs a value')
    expect(message).toContain('--wait-ms): must be an integer >= 1')
  })

  test.each(['', ' ', 'ten', '1.5', '1e999', '0'])('the number %j is refused', (text) => {
    expect(faultsOf({ env: { ...env, LOCKSTEP_TEST_WAIT_MS: text } })).toContain('LOCKSTEP_TEST_WAIT_MS')
  })

  test('a secret is read from a file, without the newline at its end', () => {
    const path = join(folder, 'url')
    writeFileSync(path, `${LOCKSTEP_TEST_DATABASE_URL}\n`)
    const sources = { env: { LOCKSTEP_TEST_DATABASE_URL_FILE: path } }
    expect(loadConfig(table, sources).databaseUrl).toBe(LOCKSTEP_TEST_DATABASE_URL)
    expect(printConfig(table, sources)[1]).toMatchObject({ origin: 'file', value: 'postgres://app:***@db:5432/shop' })
  })

  test('an unreadable file, and a file beside a value, are faults', () => {
    const LOCKSTEP_TEST_DATABASE_URL_FILE = join(folder, 'absent')
    expect(faultsOf({ env: { LOCKSTEP_TEST_DATABASE_URL_FILE } })).toContain(
      'LOCKSTEP_TEST_DATABASE_URL_FILE: cannot be read',
    )
    expect(faultsOf({ env: { ...env, LOCKSTEP_TEST_DATABASE_URL_FILE } })).toContain('unset one')
  })

  test('what is in effect is shown with its origin, also where it is not valid', () => {
    const lines = printConfig(table, { env: { LOCKSTEP_TEST_WAIT_MS: 'ten' }, argv: ['--mode', 'hard'] })
    expect(lines.map(({ key, value, origin }) => [key, value, origin])).toEqual([
      ['slotName', 'orders', 'default'],
      ['databaseUrl', '', 'missing'],
      ['waitMs', 'ten', 'env'],
      ['isVerbose', 'false', 'default'],
      ['brokers', 'a:1', 'default'],
      ['mode', 'hard', 'flag'],
    ])
  })

  test.each([
    ['plain-token', '***'],
    ['postgres://app:p@ss/w:rd@db/shop', 'postgres://app:***@db/shop'],
    ['redis://:hunter2@cache:6379', 'redis://:***@cache:6379'],
    ['https://hunter2@host/path?key=hunter2', 'https://***@host/path?***'],
  ])('the secret %j is shown as %j', (text, shown) => {
    const value = printConfig(table, { env: { LOCKSTEP_TEST_DATABASE_URL: text } })[1]?.value ?? ''
    expect(value).not.toMatch(/hunter2|p@ss|w:rd|plain/)
    expect(value).toBe(shown)
  })

  test('passwords in text are masked up to the last @', () => {
    expect(maskUrl('connect to postgres://a:p@ss@db/x failed')).toBe('connect to postgres://a:***@db/x failed')
    expect(maskUrl('pg://db/x?user=a&password=p&ssl=1')).toBe('pg://db/x?user=a&password=***&ssl=1')
  })

  test('the reference describes options without reading an environment', () => {
    expect(describeConfig(table)[2]).toEqual({
      key: 'waitMs',
      env: 'LOCKSTEP_TEST_WAIT_MS',
      flag: '--wait-ms',
      type: 'integer >= 1',
      default: '50',
      unit: 'ms',
      desc: 'Wait.',
      secret: false,
    })
  })
})
