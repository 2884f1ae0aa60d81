import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startRedis, type RedisServer } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)
const OUTPUT = ["{ name: 'Lamp', categoryId: 7 }", 'Lamp', 'Torch', "[ 'Light', undefined ]", ''].join('\n')

/** The first TypeScript sample of the package's README. */
function sampleOf(readme: string): string {
  const [, sample] = /```ts\n(.*?)```/s.exec(readme) ?? []
  if (sample === undefined) throw new Error('the README has no sample')
  return sample
}

describe('the packed cache library in an empty project', () => {
  let server: RedisServer
  let redis: Redis
  let tarballs: readonly string[]
  const packed = mkdtempSync(join(tmpdir(), 'lockstep-packed-'))

  beforeAll(async () => {
    server = await startRedis({ needs: 'process' })
    redis = new Redis(server.url)
    const node = process.execPath
    await run(node, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-b', 'cache'], { cwd: ROOT })
    await run('npm', ['pack', '-w', 'schemas', '-w', 'cache', '--pack-destination', packed], { cwd: ROOT })
    tarballs = readdirSync(packed).map((file) => join(packed, file))
  })
  afterAll(async () => {
    rmSync(packed, { recursive: true, force: true })
    redis.disconnect()
    await server.stop()
  })

  test.each(['22', '24'])('is installed and runs the sample of its README as written on Node %s', async (major) => {
    const project = mkdtempSync(join(tmpdir(), `lockstep-node${major}-`))
    try {
      writeFileSync(
        join(project, 'package.json'),
        JSON.stringify({ name: 'empty', type: 'module', allowScripts: { node: true } }),
      )
      await run('npm', ['install', '--no-audit', '--no-fund', `node@${major}`, ...tarballs], { cwd: project })
      const readme = readFileSync(join(project, 'node_modules/@lockstep/cache/README.md'), 'utf8')
      writeFileSync(join(project, 'sample.ts'), sampleOf(readme))
      const node = join(project, 'node_modules/.bin/node')
      expect((await run(node, ['--version'])).stdout).toMatch(new RegExp(`^v${major}\\.`))
      for (const url of ['', server.url]) {
        await redis.flushall()
        const env = { ...process.env, REDIS_URL: url, NODE_OPTIONS: '', NO_COLOR: '1' }
        const { stdout } = await run(node, ['--disable-warning=ExperimentalWarning', 'sample.ts'], {
          cwd: project,
          env,
        })
        expect(stdout).toBe(OUTPUT)
      }
    } finally {
      rmSync(project, { recursive: true, force: true })
    }
  })
})
