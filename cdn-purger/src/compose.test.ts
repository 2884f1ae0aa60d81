import { createMemoryLog, createMetrics, loadConfig, silentLogger, TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { newToken } from './admin/auth.ts'
import { startPurger } from './compose.ts'
import { PURGER_CONFIG } from './config.ts'
import { startMiniEdge } from './edge/mini-edge.ts'
import { commandRecord } from './testing/commands.ts'
import { readEdge, startTestOrigin } from './testing/test-origin.ts'

const configOf = (env: Record<string, string>) =>
  loadConfig(PURGER_CONFIG, { env: { LOCKSTEP_REDIS_URL: '', LOCKSTEP_REBOUND_MS: '50', ...env } })

const JOURNALED = {
  LOCKSTEP_PURGER_TIERS: 'varnish+http://127.0.0.1:1',
  LOCKSTEP_PURGER_VARNISH_TOKEN: 'right',
  LOCKSTEP_PURGER_JOURNAL_URL: 'sqlite::memory:',
  LOCKSTEP_PURGER_API_PORT: '0',
}

describe('cdn-purger/compose', () => {
  test('the admin API listens where there are a journal and somebody to let in, and nowhere else', async () => {
    const { token, line } = newToken({ name: 'ann', role: 'viewer' })
    const start = async (env: Record<string, string>) =>
      startPurger(configOf({ ...JOURNALED, ...env }), { log: createMemoryLog(), logger: silentLogger })
    const closed = await start({})
    const unjournaled = await start({ LOCKSTEP_PURGER_JOURNAL_URL: '', LOCKSTEP_PURGER_API_TOKENS: line })
    expect([closed.apiPort, unjournaled.apiPort]).toEqual([null, null])
    const open = await start({ LOCKSTEP_PURGER_API_TOKENS: line })
    const url = `http://127.0.0.1:${open.apiPort}/v1/providers`
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
    expect([answer.status, (await fetch(url)).status]).toEqual([200, 401])
    expect(await answer.json()).toMatchObject({ items: [{ name: 'varnish:127.0.0.1:1', state: 'open', tier: 0 }] })
    const taken = start({ LOCKSTEP_PURGER_API_TOKENS: line, LOCKSTEP_PURGER_API_PORT: String(open.apiPort) })
    await expect(taken).rejects.toMatchObject({ code: 'LOCKSTEP_CDN_API_PORT_IN_USE' })
    for (const purger of [closed, unjournaled, open]) await purger.stop()
  })

  test('a started purger turns a command into an eviction, measures it and commits after the rebound', async () => {
    const origin = await startTestOrigin()
    const edge = await startMiniEdge({ originUrl: origin.url, token: 'right' })
    const log = createMemoryLog()
    const metrics = createMetrics()
    const env = { LOCKSTEP_PURGER_TIERS: `fastly+${edge.purgeUrl}`, LOCKSTEP_PURGER_FASTLY_TOKEN: 'right' }
    const purger = await startPurger(configOf(env), { log, logger: silentLogger, metrics })
    origin.set('/p', { body: 'old', tags: ['product.1'] })
    await readEdge(edge.url, '/p')
    origin.set('/p', { body: 'new', tags: ['product.1'] })
    await log.produce(TOPICS.purges, [commandRecord({ tag: 'product:1', commitMs: Date.now() })])
    await waitFor(() => purger.status().commitToEdge.count === 1, 5_000)
    expect(await readEdge(edge.url, '/p')).toMatchObject({ label: 'MISS', body: 'new' })
    await waitFor(() => purger.status().rebounds === 0, 5_000)
    const text = await metrics.text()
    expect(text).toMatch(/lockstep_commit_to_evict_seconds_count\{layer="cdn"\} 1\n/)
    expect(text).toMatch(/lockstep_purge_requests_total\{provider="fastly:[^"]*:edge",outcome="purged"\} 2\n/)
    await purger.stop()
    await edge.stop()
    await origin.stop()
  })

  test.for([
    [{ LOCKSTEP_PURGER_TIERS: 'nonsense' }, 'LOCKSTEP_CDN_BAD_TIERS'],
    [{ LOCKSTEP_PURGER_TIERS: 'varnish+http://127.0.0.1:1' }, 'LOCKSTEP_CDN_TOKEN_MISSING'],
    [{ ...JOURNALED, LOCKSTEP_PURGER_API_TOKENS: 'ann:root:00' }, 'LOCKSTEP_CDN_BAD_API_TOKENS'],
  ] as const)('a configuration that cannot purge is refused at start: %j', async ([env, code]) => {
    const log = createMemoryLog()
    const started = startPurger(configOf(env), { log, logger: silentLogger })
    await expect(started).rejects.toMatchObject({ code, disposition: 'config' })
  })
})
