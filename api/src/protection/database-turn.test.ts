import Fastify, { type InjectOptions } from 'fastify'
import { describe, expect, test } from 'vitest'
import { checkDatabaseTurn } from './database-turn.ts'

/** Answers each status with its Retry-After, and how many requests got beyond the check. */
async function ask(isBusy: boolean, ...requests: InjectOptions[]): Promise<[string[], number]> {
  const app = Fastify()
  let passed = 0
  checkDatabaseTurn(app, () => !isBusy)
  // As sessions are verified: by a hook of the route that is added later.
  app.addHook('onRoute', (route) => {
    const verify = (_request: unknown, _reply: unknown, goOn: () => void): void => {
      passed += 1
      goOn()
    }
    route.onRequest = [...[route.onRequest ?? []].flat(), verify]
  })
  for (const url of ['/products', '/me/cart']) app.get(url, () => ({}))
  app.post('/products', () => ({}))
  app.post('/views', { config: { asksDatabase: false } }, () => ({}))
  const answers: string[] = []
  for (const request of requests) {
    const { statusCode, headers } = await app.inject(request)
    answers.push(`${statusCode} ${headers['retry-after'] ?? '-'}`)
  }
  await app.close()
  return [answers, passed]
}

const REQUESTS: InjectOptions[] = [
  { method: 'POST', url: '/products' },
  { method: 'GET', url: '/me/cart' },
  { method: 'GET', url: '/products' },
  { method: 'POST', url: '/views' },
]

describe('api/protection/database-turn', () => {
  test('who would get no turn is refused before the session is looked at, what a layer or the log may answer goes on', async () => {
    expect(await ask(true, ...REQUESTS)).toEqual([['503 1', '503 1', '200 -', '200 -'], 2])
  })

  test('while there are turns, everybody goes on', async () => {
    expect(await ask(false, ...REQUESTS)).toEqual([['200 -', '200 -', '200 -', '200 -'], 4])
  })
})
