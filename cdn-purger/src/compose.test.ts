import { createMemoryLog, createMetrics, loadConfig, silentLogger, TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { startPurger } from './compose.ts'
import { PURGER_CONFIG } from './config.ts'
import { startMiniEdge } from './edge/mini-edge.ts'
import { commandRecord } from './testing/commands.ts'
import { readEdge, startTestOrigin } from './testing/test-origin.ts'

const configOf = (env: Record<string, string>) =>
  loadConfig(PURGER_CONFIG, { env: { LOCKSTEP_REDIS_URL: '', LOCKSTEP_REBOUND_MS: '50', ...env } })

describe('cdn-purger/compose', () => {
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
  ] as const)('a configuration that cannot purge is refused at start: %j', async ([env, code]) => {
    const log = createMemoryLog()
    const started = startPurger(configOf(env), { log, logger: silentLogger })
    await expect(started).rejects.toMatchObject({ code, disposition: 'config' })
  })
})
