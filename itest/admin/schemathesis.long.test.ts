import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ROLES } from '@lockstep/cdn-purger'
import { startMiniEdge } from '@lockstep/cdn-purger/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAdminPurger, startVersionedOrigin, type AdminPurger } from './scene.ts'
import { ensureSchemathesis } from './schemathesis-env.ts'

const DOCUMENT = fileURLToPath(new URL('../../docs/admin-openapi.json', import.meta.url))
// Per operation, phase and role; more by LOCKSTEP_FUZZ_EXAMPLES.
const EXAMPLES = process.env['LOCKSTEP_FUZZ_EXAMPLES'] ?? '10'
const SEED = process.env['LOCKSTEP_FUZZ_SEED'] ?? '20261121'
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'unsupported_method',
  'allow_header_conformance',
  'ignored_auth',
].join()

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

async function fuzz(role: string): Promise<{ code: number | null; output: string }> {
  const requests = `--url ${purger.apiUrl} --checks ${CHECKS} --max-examples ${EXAMPLES} --seed ${SEED} --workers 1`
  const rest = '--phases examples,coverage,fuzzing --generation-database none --no-color --warnings off'
  const args = ['run', DOCUMENT, '--header', `Authorization: Bearer ${role}`, ...`${requests} ${rest}`.split(' ')]
  // It leaves a directory of its findings where it runs.
  const child = spawn(program, args, { cwd: purger.directory })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}

test.for(ROLES)(
  'no request that schemathesis makes as %s is answered by a fault or against the document',
  async (role) => {
    const { code, output } = await fuzz(role)
    expect(code === 0 ? 'passed' : output).toBe('passed')
    // An empty document would pass as well.
    expect(Number(/(\d+) generated/.exec(output)?.[1] ?? 0)).toBeGreaterThan(300)
  },
)
