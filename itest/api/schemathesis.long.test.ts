import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureSchemathesis } from '../admin/schemathesis-env.ts'
import { openShopScene, type ShopScene } from './shop-scene.ts'
import { PASSWORD } from './sign-in.ts'

const DOCUMENT = fileURLToPath(new URL('../../docs/api-openapi.json', import.meta.url))
// Per operation, phase and role; more by LOCKSTEP_FUZZ_EXAMPLES.
const EXAMPLES = process.env['LOCKSTEP_FUZZ_EXAMPLES'] ?? '15'
const SEED = process.env['LOCKSTEP_FUZZ_SEED'] ?? '20261121'
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'ignored_auth',
].join()

// An address that breaks `maxLength` may be longer than any head of a request: 431 refuses it as well as 400.
const SETTINGS =
  '[checks]\nnegative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 415, 422, 429, 431]\n'

let program = ''
let scene: ShopScene
let directory = ''

beforeAll(() => {
  program = ensureSchemathesis()
}, 400_000)
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'lockstep-fuzz-'))
  writeFileSync(join(directory, 'schemathesis.toml'), SETTINGS)
  scene = await openShopScene({ LOCKSTEP_API_ADMIN_PASSWORD: PASSWORD })
})
afterAll(async () => {
  await scene?.close()
  rmSync(directory, { recursive: true, force: true })
})

async function fuzz(token: string | undefined): Promise<{ code: number | null; output: string }> {
  const requests = `--url ${scene.api.url} --checks ${CHECKS} --max-examples ${EXAMPLES} --seed ${SEED} --workers 1`
  const rest = '--phases examples,coverage,fuzzing --generation-database none --no-color --warnings off'
  const bearer = token === undefined ? [] : ['--header', `Authorization: Bearer ${token}`]
  // It leaves a directory of its findings where it runs.
  const child = spawn(program, ['run', DOCUMENT, ...bearer, ...`${requests} ${rest}`.split(' ')], { cwd: directory })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}

test.for(['nobody', 'anna', 'admin'])(
  'no request that schemathesis makes as %s is answered by a fault or against the document',
  async (name) => {
    const token = name === 'nobody' ? undefined : await scene.login(name)
    const { code, output } = await fuzz(token)
    // It prints whole addresses, some of which are longer than everything it says of them.
    expect(code === 0 ? 'passed' : output.replaceAll(/.{400,}/g, (line) => `${line.slice(0, 400)} …`)).toBe('passed')
    // An empty document would pass as well.
    expect(Number(/(\d+) generated/.exec(output)?.[1] ?? 0)).toBeGreaterThan(150)
  },
)
