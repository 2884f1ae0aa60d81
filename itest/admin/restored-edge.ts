import { createJournalStore, edgeVcl, openSqlite, type JournalRecord } from '@lockstep/cdn-purger'
import { startVarnish } from '@lockstep/servers'
import { afterEach, expect } from 'vitest'
import { openEdgeAddress, startAdminPurger, startVersionedOrigin, type AdminPurger } from './scene.ts'

const OBJECTS = 300
export const CHANGED = 200
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

export const ids = Array.from({ length: OBJECTS }, (_, id) => id)
export const tagOf = (id: number) => `product:${id}`

/** Reads as a client does: once more where a kept connection had been cut. */
async function read(url: string): Promise<string> {
  const get = async () => (await fetch(url)).text()
  return await get().catch(get)
}

/** Which objects an edge answers with an old version. */
export async function staleAt(url: string, versions: ReadonlyMap<number, number>): Promise<number[]> {
  const stale: number[] = []
  for (const id of ids) {
    const body = await read(`${url}/${id}`)
    if (body !== String(versions.get(id) ?? 1)) stale.push(id)
  }
  return stale
}

/** An edge whose address stays, a copy of it as it was, and a purger with a journal. */
export async function restorableEdge() {
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

export async function call(
  purger: AdminPurger,
  method: string,
  path: string,
  more: { body?: object; key?: string } = {},
) {
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

export async function until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export async function journaled(purger: AdminPurger, replayOf: string): Promise<JournalRecord[]> {
  const store = createJournalStore(openSqlite(purger.journalFile))
  const records: JournalRecord[] = []
  for await (const record of store.read({ replayOf, state: 'acked' })) records.push(record)
  await store.close()
  return records
}

/** Changes objects at the origin in rounds, purging them; the last round changes some for the second time. */
export async function change(scene: Awaited<ReturnType<typeof restorableEdge>>): Promise<void> {
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
