import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureSchemathesis, fuzz } from '../admin/schemathesis-env.ts'
import { openShopScene, type ShopScene } from './shop-scene.ts'
import { PASSWORD } from './sign-in.ts'

const DOCUMENT = fileURLToPath(new URL('../../docs/api-openapi.json', import.meta.url))
const EXAMPLES = 15

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

test.for(['nobody', 'anna', 'admin'])(
  'no request that schemathesis makes as %s is answered by a fault or against the document',
  async (name) => {
    const token = name === 'nobody' ? undefined : await scene.login(name)
    const { code, output } = await fuzz({
      program,
      document: DOCUMENT,
      url: scene.api.url,
      token,
      checks: ['unsupported_method', 'allow_header_conformance'],
      examples: EXAMPLES,
      directory,
    })
    // It prints whole addresses, some of which are longer than everything it says of them.
    expect(code === 0 ? 'passed' : output.replaceAll(/.{400,}/g, (line) => `${line.slice(0, 400)} …`)).toBe('passed')
    // An empty document would pass as well.
    expect(Number(/(\d+) generated/.exec(output)?.[1] ?? 0)).toBeGreaterThan(150)
  },
)
