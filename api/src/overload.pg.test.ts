import { waitFor } from '@lockstep/runtime/testing'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import pg from 'pg'
import type { RunningApi } from './compose.ts'
import { DEADLINE_MS, Scene } from './testing/scene.ts'

const REQUESTS = 300
const CONNECTIONS = 4
const QUEUE_MS = 200
const STATEMENT_TIMEOUT_MS = 8_000

let scene: Scene
let api: RunningApi

beforeAll(async () => {
  scene = await Scene.open(inject('postgresUrl'))
  api = await scene.start({
    LOCKSTEP_API_DATABASE_CONNECTIONS: `${CONNECTIONS}`,
    LOCKSTEP_API_MAX_CONCURRENT_LOADS: '2',
    LOCKSTEP_API_DATABASE_QUEUE_MS: `${QUEUE_MS}`,
    LOCKSTEP_API_STATEMENT_TIMEOUT_MS: `${STATEMENT_TIMEOUT_MS}`,
  })
})

afterAll(() => scene.close())

/** Runs `work` while nobody can read or write the products. */
async function whileLocked(work: () => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: scene.databaseUrl })
  await client.connect()
  try {
    await client.query('begin; lock table products in access exclusive mode')
    await work()
    await client.query('commit')
  } finally {
    await client.end()
  }
}

/** Statements that wait for the lock. */
async function blocked(): Promise<number> {
  const [[count]] = (await scene.query(
    `select count(*)::int from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
  )) as [[number]]
  return count
}

const personal = (): Promise<Response> =>
  fetch(`${api.url}/me/recent`, { headers: { authorization: 'Bearer someone' } })
const search = (word: number): Promise<Response> => fetch(`${api.url}/search?q=nothing${word}`)
const change = (): Promise<Response> =>
  fetch(`${api.url}/products/1`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{"priceCents":1}',
  })

describe('api/overload', () => {
  test('a database that hangs: what is cached is served, the rest refused in time with 503 and Retry-After, and is served again after it', async () => {
    expect((await fetch(`${api.url}/categories`)).status).toBe(200)
    const held: Promise<Response>[] = []
    await whileLocked(async () => {
      // These take all turns: two loads, four others.
      held.push(search(-1), search(-2), personal(), personal(), personal(), personal())
      await waitFor(async () => (await blocked()) === CONNECTIONS, DEADLINE_MS)
      const began = performance.now()
      const asked = Array.from({ length: REQUESTS }, (_, each) => [() => search(each), personal, change][each % 3]?.())
      const cached = await fetch(`${api.url}/categories`)
      expect([cached.status, cached.headers.get('cache-status')]).toEqual([200, 'lockstep-l1; hit'])
      for (const answer of asked) {
        const { status, headers } = (await answer) as Response
        expect([status, headers.get('retry-after')]).toEqual([503, '1'])
        expect(headers.get('cache-control')).toMatch(/no-store/)
      }
      expect(performance.now() - began).toBeLessThan(STATEMENT_TIMEOUT_MS / 2)
      // Nobody asks who they are: a stranger is refused for that only when there is time for it.
      await waitFor(async () => {
        const more = Array.from({ length: 20 }, change)
        const { status } = await fetch(`${api.url}/me/recent`)
        await Promise.all(more)
        return status === 503
      }, DEADLINE_MS)
    })
    expect((await fetch(`${api.url}/me/recent`)).status).toBe(401)
    const statuses = await Promise.all(held.map(async (answer) => (await answer).status))
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200])
    for (const answer of [search(1), personal(), change()]) expect((await answer).status).toBe(200)
    const metrics = await (await fetch(`${api.adminUrl}/metrics`)).text()
    expect(metrics).toMatch(/^lockstep_database_pool_wait_seconds_count \d+$/m)
    expect(metrics).toMatch(/^lockstep_database_pool_refused_total [1-9]/m)
  })
})
