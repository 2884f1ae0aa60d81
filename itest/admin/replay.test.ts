import { createJournalStore, openSqlite } from '@lockstep/cdn-purger'
import { parseTag, stampOf, type Clock, type Lsn } from '@lockstep/schemas'
import { expect, test } from 'vitest'
import { call, change, CHANGED, ids, journaled, restorableEdge, staleAt, tagOf, until } from './restored-edge.ts'

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
