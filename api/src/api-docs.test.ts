import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { World } from './testing/world.ts'

describe('api/api-docs', () => {
  let world: World
  let app: FastifyInstance
  beforeEach(async () => {
    world = new World()
    ;({ app } = await world.start({ hasDocs: true }))
  })
  afterEach(() => world.stop())

  const linked = (page: string): string[] => [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = '']) => url)

  test('the page and its files need no script or style that its policy refuses', async () => {
    const page = await app.inject('/docs')
    expect([page.statusCode, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(page.body).not.toMatch(/<style|\s(?:style|on\w+)=|javascript:|https?:/)
    const scripts = [...page.body.matchAll(/<script([^>]*)>([^]*?)<\/script>/g)]
    expect(scripts.length).toBeGreaterThan(1)
    for (const [, attributes, body] of scripts)
      expect([attributes, body?.trim()]).toEqual([expect.stringContaining('src='), ''])
    for (const url of ['/docs/', ...linked(page.body)]) {
      const { statusCode, headers } = await app.inject(url)
      expect([url, statusCode]).toEqual([url, 200])
      expect(headers['content-security-policy']).toMatch(/default-src 'none'; script-src 'self'; style-src 'self';/)
    }
  })

  test('it shows the document of the API, which does not speak of the page', async () => {
    const shown = (await app.inject('/docs/json')).json<{ paths: object }>()
    expect(shown).toEqual((await app.inject('/openapi.json')).json())
    expect(Object.keys(shown.paths).filter((path) => path.startsWith('/docs'))).toEqual([])
    expect(shown.paths).toHaveProperty('/products/{id}')
  })

  test('nothing of it is kept by anybody without asking again', async () => {
    for (const url of ['/docs', '/docs/json', '/docs/static/swagger-initializer.js', '/docs/static/swagger-ui.css']) {
      const { headers } = await app.inject(url)
      expect(headers).not.toHaveProperty('cdn-cache-control')
      expect(headers['cache-control']).toMatch(/^(?:no-cache|public, max-age=0)$/)
    }
  })

  test.each([
    '/docs/static/../../package.json',
    '/docs/static/..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/index.js',
    '/docs/x',
  ])('nothing else can be had by it: %s', async (url) => {
    expect((await app.inject(url)).statusCode).toBeGreaterThanOrEqual(400)
  })

  test('where it is switched off there is none, and the document stays', async () => {
    const { app: bare } = await world.start()
    expect((await bare.inject('/docs')).statusCode).toBe(404)
    expect((await bare.inject('/openapi.json')).statusCode).toBe(200)
  })
})
