import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ensurePrometheus } from '@lockstep/servers'
import { beforeAll, describe, expect, test } from 'vitest'

const run = promisify(execFile)
const RULES = fileURLToPath(new URL('../../deploy/prometheus/rules', import.meta.url))
const tests = globSync('*.test.yaml', { cwd: RULES })

let promtool: string
beforeAll(async () => {
  promtool = (await ensurePrometheus()).promtool
})

describe('deploy/prometheus/rules', () => {
  test('promtool takes the rules', async () => {
    const { stdout } = await run(promtool, ['check', 'rules', 'lockstep.yaml'], { cwd: RULES })
    expect(stdout).toMatch(/SUCCESS: \d+ rules found/)
  })

  test('promtool takes the configuration of the compose stack', async () => {
    const { stdout } = await run(promtool, ['check', 'config', '--syntax-only', '../prometheus.yml'], { cwd: RULES })
    expect(stdout).toContain('SUCCESS')
  })

  test.for(tests)('every alert of %s is quiet before its fault and fires after it', async (file) => {
    const { stdout } = await run(promtool, ['test', 'rules', file], { cwd: RULES })
    expect(stdout).toContain('SUCCESS')
  })
})
