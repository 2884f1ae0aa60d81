import { afterEach, describe, expect, test } from 'vitest'
import { Compile } from 'typebox/compile'
import { adminScene, PEOPLE, type AdminScene } from '../testing/admin-scene.ts'
import { entry, item } from '../testing/journal-contract.ts'
import { includesRole } from './auth.ts'
import { openApiOf } from './openapi.ts'
import { JournalQueryInput, ProblemOutput, RecordOutput } from './schemas.ts'

let scene: AdminScene
afterEach(() => scene.close())

const purge = (as: string, body: unknown, key?: string) => scene.call(as, 'POST', '/v1/purges', { body, key })

describe('cdn-purger/admin server', () => {
  test('nobody gets in without a token, and what a role does not include is refused, on every route', async () => {
    scene = adminScene()
    for (const { method, path, role } of scene.routes) {
      const url = path.replace('{id}', 'x')
      const unknown = await scene.call('', method, url)
      expect([unknown.status, unknown.body.code]).toEqual([401, 'LOCKSTEP_CDN_UNAUTHENTICATED'])
      expect((await scene.call('nobody', method, url)).status).toBe(401)
      for (const person of PEOPLE) {
        const { status } = await scene.call(person.name, method, url)
        expect([person.name, method, url, status === 403]).toEqual([
          person.name,
          method,
          url,
          !includesRole(person.role, role),
        ])
      }
    }
    expect(scene.intake.orders).toEqual([])
  })

  test('wrong tokens are limited by address, right ones by caller, and the answer says how long', async () => {
    const limit = { perSecond: 0.5, burst: 2 }
    scene = adminScene({ limits: { reads: limit, failures: limit } })
    const read = async (as: string) => (await scene.call(as, 'GET', '/v1/providers')).status
    expect([await read('viewer'), await read('viewer'), await read('viewer')]).toEqual([200, 200, 429])
    expect(await read('operator')).toBe(200)
    const refused = await scene.call('viewer', 'GET', '/v1/providers')
    expect(refused.headers['retry-after']).toBe('2')
    await scene.time.advance(2_000)
    expect(await read('viewer')).toBe(200)
    expect([await read('guess1'), await read('guess2'), await read('guess3')]).toEqual([401, 401, 429])
    expect(await read('second')).toBe(429)
    await scene.time.advance(2_000)
    expect(await read('second')).toBe(200)
  })

  test('a purge of tags runs in the manual lane under the name of who asked', async () => {
    scene = adminScene()
    const made = await purge('operator', { tags: ['b:1', 'a:1', 'a:1:x'], reason: 'wrong price' })
    expect(made).toMatchObject({ status: 202, body: { kind: 'purge', state: 'running', total: 3 } })
    scene.runner.start()
    await scene.time.advance(1_000)
    expect(scene.intake.tags).toEqual(['a:1', 'a:1:x', 'b:1'])
    expect(scene.intake.orders[0]).toMatchObject({ lane: 'manual', actor: 'operator', replayOf: null })
    const { id } = made.body
    await scene.journal.write([
      entry(scene.time.wallMs(), [{ command: scene.intake.orders[0]!.command }], { lane: 'manual', provider: 'edge' }),
    ])
    expect((await scene.call('viewer', 'GET', `/v1/purges/${id}`)).body).toMatchObject({
      state: 'completed',
      done: 3,
      journal: [{ tag: 'a:1', state: 'acked', provider: 'edge' }],
    })
    expect((await scene.call('viewer', 'GET', '/v1/purges')).body.items).toMatchObject([{ id }])
    expect((await scene.call('viewer', 'GET', `/v1/replays/${id}`)).status).toBe(404)
  })

  test('a class is purged as one key', async () => {
    scene = adminScene()
    await purge('operator', { class: 'product', reason: 'import' })
    scene.runner.start()
    await scene.time.advance(1_000)
    expect(scene.intake.tags).toEqual(['product:*'])
  })

  test('everything is purged only when a second administrator confirms it in time', async () => {
    scene = adminScene()
    const all = { everything: true, reason: 'new templates' }
    expect((await purge('operator', all)).status).toBe(403)
    const made = await purge('admin', all)
    expect(made).toMatchObject({ status: 202, body: { state: 'awaiting-confirmation' } })
    const confirm = (as: string, id: string) => scene.call(as, 'POST', `/v1/purges/${id}/confirm`)
    scene.runner.start()
    await scene.time.advance(2_000)
    expect(await confirm('admin', made.body.id)).toMatchObject({
      status: 403,
      body: { code: 'LOCKSTEP_CDN_SECOND_PERSON' },
    })
    expect((await confirm('operator', made.body.id)).status).toBe(403)
    expect(scene.intake.orders).toEqual([])
    expect(await confirm('second', made.body.id)).toMatchObject({ status: 200, body: { confirmedBy: 'second' } })
    await scene.time.advance(2_000)
    expect(scene.intake.tags).toEqual(['*'])
    expect((await confirm('second', made.body.id)).status).toBe(409)
    const late = (await purge('admin', all)).body.id
    await scene.time.advance(16 * 60_000)
    expect((await confirm('second', late)).status).toBe(409)
    const cancelled = (await purge('admin', all)).body.id
    await scene.call('operator', 'POST', `/v1/purges/${cancelled}/cancel`)
    expect((await confirm('second', cancelled)).status).toBe(409)
    expect(scene.intake.tags).toEqual(['*'])
  })

  test('what cannot be a purge is refused with a stable code, and nothing is purged', async () => {
    scene = adminScene()
    const cases: [unknown, number, string][] = [
      [{ reason: 'r' }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ tags: [], reason: 'r' }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ tags: ['a:1'] }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ tags: ['a:1'], everything: true, reason: 'r' }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ everything: false, reason: 'r' }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ class: 'a:b', reason: 'r' }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ class: '*', reason: 'r' }, 400, 'LOCKSTEP_CDN_BAD_REQUEST'],
      [{ tags: ['*'], reason: 'r' }, 422, 'LOCKSTEP_CDN_BAD_TAG'],
      [{ tags: ['a\n'], reason: 'r' }, 422, 'LOCKSTEP_CDN_BAD_TAG'],
      [{ tags: ['é'.repeat(500)], reason: 'r' }, 422, 'LOCKSTEP_CDN_BAD_TAG'],
      [{ tags: ['a:1'], reason: 'r'.repeat(300_000) }, 413, 'LOCKSTEP_CDN_BODY_TOO_LARGE'],
    ]
    for (const [body, status, code] of cases) {
      const reply = await purge('admin', body)
      expect([body, reply.status, reply.body.code]).toEqual([body, status, code])
      expect(Compile(ProblemOutput).Check(reply.body)).toBe(true)
    }
    const text = await scene.call('admin', 'POST', '/v1/purges', {
      body: 'x',
      headers: { 'content-type': 'text/plain' },
    })
    expect([text.status, text.body.code]).toEqual([415, 'LOCKSTEP_CDN_UNSUPPORTED_MEDIA'])
    const broken = await scene.call('admin', 'POST', '/v1/purges', {
      body: '{"tags":',
      headers: { 'content-type': 'application/json' },
    })
    expect([broken.status, broken.body.code]).toEqual([400, 'LOCKSTEP_CDN_BAD_REQUEST'])
    scene.runner.start()
    await scene.time.advance(1_000)
    expect(scene.intake.orders).toEqual([])
  })

  test('every call that changes something is written down, before it is done and after', async () => {
    scene = adminScene()
    await purge('operator', { tags: ['a:1'], reason: 'r' })
    await purge('viewer', { tags: ['a:1'], reason: 'r' })
    await scene.call('viewer', 'GET', '/v1/purges')
    const lines = (await scene.call('admin', 'GET', '/v1/audit')).body.items
    expect(lines.map((line: { actor: string; status: number }) => [line.actor, line.status]).toSorted()).toEqual([
      ['operator', null],
      ['operator', 202],
      ['viewer', 403],
    ])
  })

  test('a call that cannot be written down is not done', async () => {
    scene = adminScene()
    scene.audit.record = () => Promise.reject(new Error('away'))
    const reply = await purge('operator', { tags: ['a:1'], reason: 'r' })
    expect([reply.status, reply.body.code]).toEqual([503, 'LOCKSTEP_CDN_JOURNAL_AWAY'])
    expect((await scene.call('viewer', 'GET', '/v1/purges')).body.items).toEqual([])
  })

  test('an unknown address and an unknown method are told apart, and no origin is let in', async () => {
    scene = adminScene()
    expect((await scene.call('admin', 'GET', '/v1/nothing')).status).toBe(404)
    const method = await scene.call('admin', 'POST', '/v1/journal')
    expect([method.status, method.headers['allow']]).toEqual([405, 'GET'])
    const query = await scene.call('admin', 'QUERY' as 'GET', '/v1/journal')
    expect(query.status).toBe(405)
    const preflight = await scene.call('admin', 'OPTIONS' as 'GET', '/v1/purges', { headers: { origin: 'http://x' } })
    expect(preflight.status).toBe(405)
    expect(preflight.headers).not.toHaveProperty('access-control-allow-origin')
  })

  test('the journal is read page by page without a gap or a repetition, and as lines', async () => {
    scene = adminScene()
    const nowMs = scene.time.wallMs()
    await scene.journal.write(
      Array.from({ length: 7 }, (_, n) => entry(nowMs + n, [item(`a:${n}`, n), item(`b:${n}`, n)])),
    )
    const tags: string[] = []
    let next: string | null = ''
    while (next !== null) {
      const { body } = await scene.call('viewer', 'GET', `/v1/journal?limit=3&prefix=a${next && `&cursor=${next}`}`)
      tags.push(...body.items.map(({ tag }: { tag: string }) => tag))
      next = body.next
    }
    expect(tags).toEqual(['a:6', 'a:5', 'a:4', 'a:3', 'a:2', 'a:1', 'a:0'])
    const { text, headers } = await scene.call('viewer', 'GET', '/v1/journal', {
      headers: { accept: 'application/x-ndjson' },
    })
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown)
    expect(headers['content-type']).toContain('application/x-ndjson')
    expect(lines).toHaveLength(14)
    expect(lines.every((line) => Compile(RecordOutput).Check(line))).toBe(true)
    for (const bad of ['cursor=x', 'limit=0', 'limit=01', 'state=done', 'tag=a&tag=b', 'unknown=1', 'from=now'])
      expect([bad, (await scene.call('viewer', 'GET', `/v1/journal?${bad}`)).status]).toEqual([bad, 400])
    expect((await scene.call('viewer', 'GET', '/v1/journal?tag=%01')).status).toBe(422)
  })

  test('the document names every operation, its parameters and its refusals', () => {
    scene = adminScene()
    const { paths } = openApiOf(scene.routes) as { paths: Record<string, Record<string, OperationLike>> }
    const operations = Object.values(paths).flatMap((path) => Object.values(path))
    expect(operations).toHaveLength(scene.routes.length)
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
    const journal = paths['/v1/journal']?.['get']
    expect(journal?.parameters.map(({ name }) => name)).toEqual(Object.keys(JournalQueryInput.properties))
    expect(Object.keys(paths['/v1/replays']?.['post']?.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '202', '400', '401', '403', '412', '413', '415', '422', '428', '429', '503']),
    )
  })
})

interface OperationLike {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string }[]
  readonly responses: object
}
