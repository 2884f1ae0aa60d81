import { afterEach, describe, expect, test } from 'vitest'
import { adminScene, type AdminScene } from '../testing/admin-scene.ts'
import { entry, item } from '../testing/journal-contract.ts'

const MINUTE = 60_000
let scene: AdminScene
afterEach(() => scene.close())

/** Journals purges of tags, each so many minutes ago. */
async function journaled(tags: readonly string[], minutesAgo = 10, state: 'acked' | 'dead-lettered' = 'acked') {
  const atMs = scene.time.wallMs() - minutesAgo * MINUTE
  await scene.journal.write([
    entry(
      atMs,
      tags.map((tag, n) => item(tag, n + 1)),
      { state, provider: 'edge' },
    ),
  ])
}

const lastHalfHour = () => ({ from: new Date(scene.time.wallMs() - 30 * MINUTE).toISOString() })
const ask = (selection: object, more: object = {}) => ({ selection, reason: 'edge restored', ...more })
const replay = (body: object, key?: string, as = 'operator') => scene.call(as, 'POST', '/v1/replays', { body, key })
const get = async (id: string) => (await scene.call('viewer', 'GET', `/v1/replays/${id}`)).body

/** Lets the runner look, purge and note. */
async function work() {
  scene.runner.start()
  await scene.time.advance(1_000)
}

describe('cdn-purger/admin replays', () => {
  test('a replay purges every distinct tag of its range once, and nothing outside of it', async () => {
    scene = adminScene()
    await journaled(['product:1', 'product:2', 'product:1'])
    await journaled(['product:9'], 31)
    const made = await replay(ask(lastHalfHour()), 'k1')
    expect(made).toMatchObject({ status: 202, body: { state: 'running', total: 2, done: 0 } })
    expect(made.headers['location']).toBe(`/v1/replays/${made.body.id}`)
    await work()
    expect(scene.intake.tags).toEqual(['product:1', 'product:2'])
    expect(scene.intake.orders[0]).toMatchObject({ lane: 'replay', actor: 'operator', replayOf: made.body.id })
    expect(await get(made.body.id)).toMatchObject({ state: 'completed', done: 2, refused: 0 })
  })

  test('the newest clock of a tag is what is purged again', async () => {
    scene = adminScene()
    await scene.journal.write([entry(scene.time.wallMs() - 1, [item('a:1', 7), item('a:1', 9), item('a:1', 8)])])
    await replay(ask(lastHalfHour()), 'k')
    await work()
    expect(Number(scene.intake.orders[0]?.command.commitLsn)).toBe(9)
  })

  test('a class in the range covers its tags, and a flush covers everything', async () => {
    scene = adminScene()
    await journaled(['product:1', 'product:*', 'category:1'])
    expect((await replay(ask({ prefix: 'p' }, { dryRun: true }))).body.keys).toBe(1)
    expect((await replay(ask(lastHalfHour(), { dryRun: true }))).body.keys).toBe(2)
    await journaled(['*'])
    expect(await replay(ask(lastHalfHour(), { dryRun: true }))).toMatchObject({ status: 403 })
    expect((await replay(ask(lastHalfHour(), { dryRun: true }), undefined, 'admin')).body.keys).toBe(1)
    expect(await replay(ask(lastHalfHour()), 'k', 'admin')).toMatchObject({ status: 428 })
  })

  test('the same request posted twice, or twice at once, is one replay', async () => {
    scene = adminScene()
    await journaled(['a:1', 'a:2'])
    const body = ask({ prefix: 'a:' })
    const [one, two] = await Promise.all([replay(body, 'k'), replay(body, 'k')])
    expect(new Set([one.status, two.status])).toEqual(new Set([200, 202]))
    await work()
    const three = await replay(body, 'k')
    expect(three).toMatchObject({ status: 200, body: { id: one.body.id, state: 'completed' } })
    await scene.time.advance(5_000)
    expect(new Set([one.body.id, two.body.id, three.body.id]).size).toBe(1)
    expect(scene.intake.tags).toEqual(['a:1', 'a:2'])
    const others = await replay(body, 'k', 'admin')
    expect(others.status).toBe(202)
  })

  test('a dry run tells keys, requests, tokens and seconds, and changes nothing', async () => {
    scene = adminScene()
    await journaled(Array.from({ length: 25 }, (_, n) => `a:${n}`))
    const { status, body } = await replay(ask(lastHalfHour(), { dryRun: true }))
    // Ten keys per request, live and rebound: 6 requests of which one is in the bucket, 2 a second; then the rebound.
    expect(status).toBe(200)
    expect(body).toMatchObject({ keys: 25, requests: 12, seconds: 4.5 })
    expect(body.providers[0]).toEqual({
      name: 'shield',
      requests: 6,
      tokens: [{ unit: 'requests', count: 6 }],
      seconds: 2.5,
    })
    await work()
    expect(scene.intake.orders).toEqual([])
    expect((await scene.call('viewer', 'GET', '/v1/replays')).body.items).toEqual([])
  })

  test('a large replay needs the token of a dry run of the same selection by the same person, while it is young', async () => {
    scene = adminScene({ confirmAboveKeys: 1 })
    await journaled(['a:1', 'a:2'])
    const body = ask({ prefix: 'a:' })
    expect(await replay(body, 'k')).toMatchObject({ status: 428, body: { code: 'LOCKSTEP_CDN_CONFIRM_REQUIRED' } })
    const { confirmToken } = (await replay({ ...body, dryRun: true })).body
    const wrong = [
      replay(ask({ prefix: 'a' }, { confirmToken }), 'k'),
      replay({ ...body, confirmToken }, 'k', 'admin'),
      replay({ ...body, confirmToken: `${confirmToken}x` }, 'k'),
      replay({ ...body, confirmToken: confirmToken.replace(/^\d/, '9') }, 'k'),
    ]
    for (const refused of await Promise.all(wrong))
      expect(refused).toMatchObject({ status: 412, body: { code: 'LOCKSTEP_CDN_CONFIRM_INVALID' } })
    expect(await replay({ ...body, confirmToken }, 'k')).toMatchObject({ status: 202 })
    await scene.time.advance(11 * MINUTE)
    expect(await replay({ ...body, confirmToken }, 'k2')).toMatchObject({ status: 412 })
    expect(await replay({ ...body, confirmToken }, 'k')).toMatchObject({ status: 200 })
  })

  test('what cannot be a replay is refused, and nothing is purged', async () => {
    scene = adminScene()
    await journaled(['a:1'])
    const past = (minutes: number) => new Date(scene.time.wallMs() - minutes * MINUTE).toISOString()
    const cases: [object, string | undefined, number, string][] = [
      [ask({ prefix: 'a' }), undefined, 400, 'LOCKSTEP_CDN_IDEMPOTENCY_KEY_REQUIRED'],
      [ask({}), 'k', 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [ask({ tag: 'a:1' }), 'k', 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [ask({ prefix: 'a' }, { dryrun: true }), 'k', 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [ask({ from: 'yesterday' }), 'k', 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [ask({ prefix: 'a' }), 'a b', 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [ask({ from: past(1), to: past(2) }), 'k', 422, 'LOCKSTEP_CDN_BAD_RANGE'],
      [ask({ from: past(-1) }), 'k', 422, 'LOCKSTEP_CDN_BAD_RANGE'],
      [ask({ fromLsn: '1/2', toLsn: '1/1' }), 'k', 422, 'LOCKSTEP_CDN_BAD_RANGE'],
      [ask({ prefix: 'b' }), 'k', 422, 'LOCKSTEP_CDN_EMPTY_SELECTION'],
      [ask({ tags: ['a\u0001'] }), 'k', 422, 'LOCKSTEP_CDN_BAD_TAG'],
      [ask({ tags: [':a'] }), 'k', 422, 'LOCKSTEP_CDN_BAD_TAG'],
      [ask({ tags: ['*'] }), 'k', 422, 'LOCKSTEP_CDN_BAD_TAG'],
    ]
    for (const [body, key, status, code] of cases) {
      const reply = await replay(body, key)
      expect([body, reply.status, reply.body.code]).toEqual([body, status, code])
      expect(reply.headers['content-type']).toContain('application/problem+json')
    }
    expect((await replay(ask({ prefix: 'a' }), 'used')).status).toBe(202)
    expect(await replay(ask({ prefix: 'a:' }), 'used')).toMatchObject({
      status: 422,
      body: { code: 'LOCKSTEP_CDN_IDEMPOTENCY_REUSED' },
    })
    await work()
    expect(scene.intake.tags).toEqual(['a:1'])
  })

  test('a replay selects by time, position, tags, class, batch and dead letters', async () => {
    scene = adminScene()
    const atMs = scene.time.wallMs() - MINUTE
    await scene.journal.write([
      entry(atMs, [item('a:1', 0x10), item('a:2', 0x20)], { batch: 'b1' }),
      entry(atMs, [item('b:1', 0x30), item('b:2', 0x40)], { state: 'dead-lettered', provider: 'edge' }),
      entry(atMs + 1, [item('b:2', 0x40)], { provider: 'edge' }),
    ])
    const keys = async (selection: object) => (await replay(ask(selection, { dryRun: true }))).body.keys
    expect(await keys({ fromLsn: '0/20', toLsn: '0/30' })).toBe(2)
    expect(await keys({ tags: ['a:1', 'b:1', 'c:1'] })).toBe(2)
    expect(await keys({ tags: ['a:2'] })).toBe(1)
    expect(await keys({ class: 'b' })).toBe(2)
    expect(await keys({ batch: 'b1' })).toBe(2)
    expect(await keys({ deadLetters: true })).toBe(1)
  })

  test('a paused replay sends nothing more, a resumed one goes on, a cancelled one has ended', async () => {
    scene = adminScene({ runner: { maxOutstanding: 2 } })
    await journaled(['a:1', 'a:2', 'a:3', 'a:4', 'a:5', 'a:6'])
    scene.intake.answer = null
    const { id } = (await replay(ask({ prefix: 'a' }), 'k')).body
    const steer = (verb: string) => scene.call('operator', 'POST', `/v1/replays/${id}/${verb}`)
    await work()
    expect(scene.intake.tags).toEqual(['a:1', 'a:2'])
    expect(await steer('pause')).toMatchObject({ status: 200, body: { state: 'paused' } })
    expect(await steer('pause')).toMatchObject({ status: 200 })
    await scene.time.advance(1_000)
    scene.intake.end(2)
    await scene.time.advance(5_000)
    expect(scene.intake.orders).toHaveLength(2)
    scene.intake.answer = { kind: 'purged' }
    expect(await steer('resume')).toMatchObject({ status: 200, body: { state: 'running' } })
    await scene.time.advance(2_000)
    expect(await get(id)).toMatchObject({ state: 'completed', done: 6 })
    expect(await steer('cancel')).toMatchObject({ status: 409, body: { code: 'LOCKSTEP_CDN_WRONG_STATE' } })
    const other = (await replay(ask({ prefix: 'a' }), 'k2')).body.id
    expect((await scene.call('operator', 'POST', `/v1/replays/${other}/cancel`)).body.state).toBe('cancelled')
    expect(await scene.call('operator', 'POST', `/v1/replays/${other}/resume`)).toMatchObject({ status: 409 })
  })

  test('a replay goes on in the next process where it was, even when the first one died', async () => {
    scene = adminScene({ runner: { maxOutstanding: 3 } })
    await journaled(['a:1', 'a:2', 'a:3', 'a:4', 'a:5'])
    scene.intake.answer = null
    const { id } = (await replay(ask({ prefix: 'a' }), 'k')).body
    await work()
    scene.intake.end(2)
    await scene.time.advance(300)
    expect(await get(id)).toMatchObject({ state: 'running', done: 2 })
    // Its orders never end: what a kill looks like from outside. The lease runs out by itself.
    const stopped = scene.runner.stop()
    scene.intake.answer = { kind: 'purged' }
    const before = scene.intake.orders.length
    const next = scene.nextRunner()
    next.start()
    await scene.time.advance(12_000)
    await stopped
    expect(scene.intake.tags.slice(before)).toEqual(['a:3', 'a:4', 'a:5'])
    expect(await get(id)).toMatchObject({ state: 'completed', done: 5, total: 5 })
    await next.stop()
  })

  test('two processes never work on one job', async () => {
    scene = adminScene()
    await journaled(['a:1', 'a:2'])
    scene.intake.answer = null
    await replay(ask({ prefix: 'a' }), 'k')
    const next = scene.nextRunner()
    next.start()
    scene.runner.start()
    // Longer than a lease: working on it renews it.
    await scene.time.advance(30_000)
    expect(scene.intake.tags).toEqual(['a:1', 'a:2'])
    await next.stop()
  })

  test('a refused key is counted, and the replay goes on', async () => {
    scene = adminScene()
    await journaled(['a:1', 'a:2'])
    scene.intake.answer = { kind: 'refused', provider: 'edge', detail: 'status 400' }
    const { id } = (await replay(ask({ prefix: 'a' }), 'k')).body
    await work()
    expect(await get(id)).toMatchObject({ state: 'completed', done: 0, refused: 2 })
  })

  test('the events of a replay tell its progress and end with it', async () => {
    scene = adminScene()
    await journaled(['a:1'])
    const { id } = (await replay(ask({ prefix: 'a' }), 'k')).body
    await work()
    const { status, headers, text } = await scene.call('viewer', 'GET', `/v1/replays/${id}/events`)
    expect(status).toBe(200)
    expect(headers['content-type']).toContain('text/event-stream')
    const [event = '', data = ''] = text.trim().split('\n')
    expect(event).toBe('event: progress')
    expect(JSON.parse(data.slice('data: '.length))).toMatchObject({ id, state: 'completed', done: 1 })
  })

  test('a caller streams eight answers at a time, and another once one of them has ended', async () => {
    scene = adminScene()
    await journaled(['a:1'])
    const { id } = (await replay(ask({ prefix: 'a' }), 'k')).body
    const watch = (as: string) => scene.call(as, 'GET', `/v1/replays/${id}/events`)
    const watching = Array.from({ length: 8 }, () => watch('viewer'))
    const ninth = await watch('viewer')
    expect([ninth.status, ninth.body.code]).toEqual([429, 'LOCKSTEP_CDN_RATE_LIMITED'])
    expect(ninth.headers['retry-after']).toBe('10')
    watching.push(watch('operator'))
    await scene.call('operator', 'POST', `/v1/replays/${id}/cancel`)
    await scene.time.advance(5_000)
    for (const { status } of await Promise.all(watching)) expect(status).toBe(200)
    expect((await watch('viewer')).status).toBe(200)
  })

  test('dead letters are listed, purged again, and forgotten once they are purged', async () => {
    scene = adminScene()
    await journaled(['a:1', 'a:2'], 10, 'dead-lettered')
    const list = async () => (await scene.call('viewer', 'GET', '/v1/dead-letters')).body.items
    expect(await list()).toMatchObject([{ tag: 'a:2', isPurgedSince: false }, { tag: 'a:1' }])
    const redrive = (body: object, key: string) => scene.call('operator', 'POST', '/v1/dead-letters', { body, key })
    expect(await redrive({ reason: 'limits raised', tags: ['a:1'] }, 'k')).toMatchObject({
      status: 202,
      body: { total: 1 },
    })
    await work()
    expect(scene.intake.tags).toEqual(['a:1'])
    await journaled(['a:1', 'a:2'], 5)
    expect(await list()).toMatchObject([{ isPurgedSince: true }, { isPurgedSince: true }])
    expect(await redrive({ reason: 'again' }, 'k2')).toMatchObject({ status: 422 })
  })
})
