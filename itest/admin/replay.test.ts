import { createJournalStore, edgeVcl, openSqlite, type JournalRecord } from '@lockstep/cdn-purger'
import { parseTag, stampOf, type Clock, type Lsn } from '@lockstep/schemas'
import { startVarnish } from '@lockstep/servers'
import { afterEach, expect, test } from 'vitest'
import { lockstep } from '../process.ts'
import { openEdgeAddress, startAdminPurger, startVersionedOrigin, type AdminPurger } from './scene.ts'

const OBJECTS = 300
const CHANGED = 200
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const ids = Array.from({ length: OBJECTS }, (_, id) => id)
const tagOf = (id: number) => `product:${id}`

/** Reads as a client does: once more where a kept connection had been cut. */
async function read(url: string): Promise<string> {
  const get = async () => (await fetch(url)).text()
  return await get().catch(get)
}

/** Which objects an edge answers with an old version. */
async function staleAt(url: string, versions: ReadonlyMap<number, number>): Promise<number[]> {
  const stale: number[] = []
  for (const id of ids) {
    const body = await read(`${url}/${id}`)
    if (body !== String(versions.get(id) ?? 1)) stale.push(id)
  }
  return stale
}

/** An edge whose address stays, a copy of it as it was, and a purger with a journal. */
async function restorableEdge() {
  const origin = await startVersionedOrigin()
  cleanups.push(() => origin.stop())
  const start = async () => {
    const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort: origin.port })
    const varnish = await startVarnish({ vcl, env: { LOCKSTEP_PURGE_TOKEN: 'edge' } })
    cleanups.push(() => varnish.stop())
    return varnish
  }
  const [edge, snapshot] = [await start(), await start()]
  const address = await openEdgeAddress(edge.port)
  cleanups.push(() => address.stop())
  // Varnish keeps nothing over a restart, so the old snapshot is a second one that holds the same objects as now. Both are
  // filled through the address: an object's host is part of its name.
  for (const { port } of [snapshot, edge]) {
    address.pointTo(port)
    for (const id of ids) await read(`${address.url}/${id}`)
  }
  const purger = await startAdminPurger(`varnish+${address.url}`)
  cleanups.push(() => purger.stop())
  return {
    origin,
    address,
    purger,
    restore: async () => {
      address.pointTo(snapshot.port)
      expect(await staleAt(address.url, origin.versions)).toHaveLength(CHANGED)
    },
  }
}

async function call(purger: AdminPurger, method: string, path: string, more: { body?: object; key?: string } = {}) {
  const response = await fetch(purger.apiUrl + path, {
    method,
    headers: {
      authorization: 'Bearer operator',
      ...(more.key === undefined ? {} : { 'idempotency-key': more.key }),
      ...(more.body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function journaled(purger: AdminPurger, replayOf: string): Promise<JournalRecord[]> {
  const store = createJournalStore(openSqlite(purger.journalFile))
  const records: JournalRecord[] = []
  for await (const record of store.read({ replayOf, state: 'acked' })) records.push(record)
  await store.close()
  return records
}

/** Changes objects at the origin in rounds, purging them; the last round changes some for the second time. */
async function change(scene: Awaited<ReturnType<typeof restorableEdge>>): Promise<void> {
  const { origin, purger, address } = scene
  for (const [round, from] of [0, 50, 100, 60].entries()) {
    const some = ids.slice(from, from + (round === 3 ? 140 : 100))
    for (const id of some) origin.versions.set(id, (origin.versions.get(id) ?? 1) + 1)
    await purger.send(some.map(tagOf), round + 1)
    const isIdle = () => purger.running.status().backlog + purger.running.status().rebounds === 0
    await until(isIdle, 'the purges of a round')
  }
  expect(origin.versions.size).toBe(CHANGED)
  expect(await staleAt(address.url, origin.versions)).toEqual([])
}

test('a replay makes an edge fresh that was restored from an old snapshot, and runs once however often it is posted', async () => {
  const scene = await restorableEdge()
  const { origin, purger, address } = scene
  // What was purged before the window is none of the replay's business.
  const old = createJournalStore(openSqlite(purger.journalFile))
  const stamp = stampOf(1, '0'.repeat(20) as Clock)
  const command = { id: 'old', tag: parseTag('old:1'), stamp, commitLsn: 1n as Lsn, commitTimeUs: 1n }
  const before = { state: 'acked' as const, phase: 'live' as const, lane: 'live' as const, items: [{ command }] }
  await old.write([{ ...before, atMs: Date.now() - 31 * 60_000 }])
  await old.close()
  await change(scene)

  await scene.restore()
  const body = { selection: { from: new Date(Date.now() - 30 * 60_000).toISOString() }, reason: 'edge restored' }
  const posted = await Promise.all([1, 2].map(async () => call(purger, 'POST', '/v1/replays', { body, key: 'k1' })))
  expect(new Set(posted.map(({ status }) => status))).toEqual(new Set([200, 202]))
  expect(new Set(posted.map((reply) => reply.body['id'])).size).toBe(1)
  const id = String(posted[0]?.body['id'])
  const replay = async () => (await call(purger, 'GET', `/v1/replays/${id}`)).body
  await until(async () => (await replay())['state'] === 'completed', 'the replay')
  expect(await replay()).toMatchObject({ total: CHANGED, done: CHANGED, refused: 0 })
  expect(await staleAt(address.url, origin.versions)).toEqual([])

  expect(await call(purger, 'POST', '/v1/replays', { body, key: 'k1' })).toMatchObject({ status: 200, body: { id } })
  const records = await journaled(purger, id)
  for (const phase of ['live', 'rebound'])
    expect(
      records
        .filter((record) => record.phase === phase)
        .map(({ tag }) => tag)
        .toSorted((a, b) => (a < b ? -1 : 1)),
    ).toEqual(
      ids
        .slice(0, CHANGED)
        .map(tagOf)
        .toSorted((a, b) => (a < b ? -1 : 1)),
    )
})

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
