import { expect, test } from 'vitest'
import { lockstep } from '../process.ts'
import { call, change, CHANGED, restorableEdge, staleAt, until } from './restored-edge.ts'

test('a replay that a restart of the purger interrupts goes on, and makes every object fresh', async () => {
  const scene = await restorableEdge()
  const { origin, purger, address } = scene
  await change(scene)
  await scene.restore()
  const body = { selection: { class: 'product' }, reason: 'edge restored' }
  const made = await call(purger, 'POST', '/v1/replays', { body, key: 'k' })
  expect(made.status).toBe(202)
  await purger.restart()
  const replay = async () => (await call(purger, 'GET', `/v1/replays/${String(made.body['id'])}`)).body
  await until(async () => (await replay())['state'] === 'completed', 'the replay')
  expect(await replay()).toMatchObject({ total: CHANGED, done: CHANGED })
  expect(await staleAt(address.url, origin.versions)).toEqual([])
})

test('the commands replay, purge and journal do the same from a terminal', async () => {
  const scene = await restorableEdge()
  const { origin, purger, address } = scene
  await change(scene)
  await scene.restore()
  const run = async (name: string, args: readonly string[], token = 'operator') => {
    const env = { LOCKSTEP_PURGER_API_URL: purger.apiUrl, LOCKSTEP_PURGER_API_TOKEN: token }
    const child = lockstep(name, args, env).start()
    const code = await new Promise((resolve) => child.child.once('close', resolve))
    return { code, output: child.output, lines: child.output.trim().split('\n') }
  }
  const dry = await run('replay', ['--since', '30m', '--dry-run', '--json'])
  expect(JSON.parse(dry.output)).toMatchObject({ keys: CHANGED, requests: 2 })
  expect(await run('replay', ['--since', '30m'])).toMatchObject({ code: 78 })
  const done = await run('replay', ['--since', '30m', '--reason', 'edge restored', '--yes', '--json'])
  expect(JSON.parse(done.lines.at(-1) ?? '')).toMatchObject({
    state: 'completed',
    done: CHANGED,
    reason: 'edge restored',
  })
  expect(done.code).toBe(0)
  expect(await staleAt(address.url, origin.versions)).toEqual([])
  const id = String(JSON.parse(done.lines.at(-1) ?? '').id)
  const journal = await run('journal', ['--replay-of', id, '--state', 'acked', '--json'], 'viewer')
  expect(journal.lines).toHaveLength(2 * CHANGED)
  const refused = await run('purge', ['--tags', 'product:1'], 'viewer')
  expect([refused.code, refused.output]).toEqual([1, expect.stringContaining('LOCKSTEP_CDN_FORBIDDEN')])
  const purged = await run('purge', ['--tags', 'product:1', '--reason', 'by hand', '--json'])
  expect(JSON.parse(purged.output)).toMatchObject({ kind: 'purge', tags: ['product:1'] })
})
