import { fileURLToPath } from 'node:url'
import { ROLES } from '@lockstep/cdn-purger'
import { startMiniEdge } from '@lockstep/cdn-purger/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAdminPurger, startVersionedOrigin, type AdminPurger } from './scene.ts'
import { ensureSchemathesis, fuzz } from './schemathesis-env.ts'

const DOCUMENT = fileURLToPath(new URL('../../docs/admin-openapi.json', import.meta.url))
const EXAMPLES = 10

const cleanups: (() => Promise<unknown>)[] = []
let program = ''
let purger: AdminPurger

beforeAll(() => {
  program = ensureSchemathesis()
}, 400_000)
beforeAll(async () => {
  const origin = await startVersionedOrigin()
  cleanups.push(() => origin.stop())
  const edge = await startMiniEdge({ originUrl: `http://127.0.0.1:${origin.port}`, token: 'edge' })
  cleanups.push(() => edge.stop())
  const journal = process.env['LOCKSTEP_FUZZ_JOURNAL_URL']
  purger = await startAdminPurger(`fastly+${edge.purgeUrl}`, {
    LOCKSTEP_REBOUND_MS: '50',
    ...(journal === undefined ? {} : { LOCKSTEP_PURGER_JOURNAL_URL: journal }),
  })
  cleanups.push(() => purger.stop())
  await purger.send(['product:1', 'product:2', 'category:1'], 1)
})
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup()
})

test.for(ROLES)(
  'no request that schemathesis makes as %s is answered by a fault or against the document',
  async (role) => {
    const { code, output } = await fuzz({
      program,
      document: DOCUMENT,
      url: purger.apiUrl,
      token: role,
      checks: ['unsupported_method', 'allow_header_conformance'],
      examples: EXAMPLES,
      directory: purger.directory,
    })
    expect(code === 0 ? 'passed' : output).toBe('passed')
    // An empty document would pass as well.
    expect(Number(/(\d+) generated/.exec(output)?.[1] ?? 0)).toBeGreaterThan(300)
  },
)
