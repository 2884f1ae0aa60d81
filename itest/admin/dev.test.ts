import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startMiniEdge } from '@lockstep/cdn-purger/testing'
import { startPostgres } from '@lockstep/servers'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { lockstep } from '../process.ts'
import { startVersionedOrigin } from './scene.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

/** What stands behind a label in the output. */
function said(output: string, label: string): string {
  return new RegExp(`${label} +(\\S+)`).exec(output)?.[1] ?? ''
}

test('dev journals its purges and lets in who has the token that it prints; its journal ends with it', async () => {
  const temporary = mkdtempSync(join(tmpdir(), 'lockstep-itest-'))
  cleanups.push(() => rmSync(temporary, { recursive: true }))
  const rules = join(temporary, 'rules.yaml')
  writeFileSync(rules, 'tables:\n  public.items:\n    - tag: item:{id}\n')
  const origin = await startVersionedOrigin()
  cleanups.push(() => origin.stop())
  const edge = await startMiniEdge({ originUrl: `http://127.0.0.1:${origin.port}`, token: 'edge' })
  cleanups.push(() => edge.stop())
  const postgres = await startPostgres({ major: 'any', needs: 'process' })
  cleanups.push(() => postgres.stop())
  const client = new pg.Client(postgres.url)
  await client.connect()
  cleanups.push(() => client.end())
  await client.query('create table items (id int primary key, price int)')
  const flags = {
    '--database-url': postgres.url,
    '--rules': rules,
    '--tiers': `fastly+${edge.purgeUrl}`,
    '--edge-token': 'edge',
    '--admin-port': '0',
    '--api-port': '0',
  }
  const dev = lockstep('dev', Object.entries(flags).flat(), { TMPDIR: temporary }).start()
  cleanups.push(() => dev.stop('SIGKILL'))
  await dev.says('API token')
  await dev.says('Ctrl-C')
  expect(readdirSync(temporary).filter((name) => name.startsWith('lockstep-dev-'))).toHaveLength(1)
  await client.query('insert into items values (1, 1)')
  const env = {
    LOCKSTEP_PURGER_API_URL: said(dev.output, 'admin API'),
    LOCKSTEP_PURGER_API_TOKEN: said(dev.output, 'API token'),
  }
  const ask = async (token: string, ...args: string[]) => {
    const asking = lockstep('journal', args, { ...env, LOCKSTEP_PURGER_API_TOKEN: token }).start()
    await new Promise((resolve) => asking.child.once('close', resolve))
    return asking.output
  }
  await expect
    .poll(() => ask(env.LOCKSTEP_PURGER_API_TOKEN, '--tag', 'item:1', '--state', 'acked'), { timeout: 20_000 })
    .toContain('item:1')
  expect(await ask('guessed')).toContain('LOCKSTEP_CDN_UNAUTHENTICATED')
  expect(await dev.stop('SIGINT')).toBe(0)
  expect(readdirSync(temporary).filter((name) => name.startsWith('lockstep-dev-'))).toEqual([])
})
