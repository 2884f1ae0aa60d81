import { createMetrics } from '@lockstep/runtime'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { measureRequests } from './measure-requests.ts'
import { refuse } from './refusal.ts'

const endOfTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('api/protection/refusal', () => {
  let app: FastifyInstance
  let later = 0
  const metrics = createMetrics()

  beforeEach(() => {
    later = 0
    app = Fastify({ genReqId: () => 'one' })
    measureRequests(app, metrics.histogram('lockstep_test_seconds', 'Requests.', [1], ['route', 'status_class']))
    app.addHook('onRequest', (_request, reply, goOn) => {
      void reply.header('x-request-id', 'one')
      goOn()
    })
    app.addHook('onSend', (_request, _reply, payload, goOn) => {
      later += 1
      goOn(null, payload)
    })
    app.put('/products/:id', { onRequest: (request, reply) => refuse(request, reply) }, () => ({}))
  })
  afterEach(() => app.close())

  test('it costs no hook that is still to come, keeps the headers that are set, and is counted', async () => {
    const { headers, statusCode, body } = await app.inject({ method: 'PUT', url: '/products/1', payload: {} })
    const problem = { type: 'about:blank', title: 'Service Unavailable', status: 503, requestId: 'one' }
    expect([statusCode, JSON.parse(body)]).toEqual([503, problem])
    expect(headers).toMatchObject({
      'x-request-id': 'one',
      'retry-after': '1',
      'cache-control': 'no-store',
      'cache-status': 'lockstep-l1; detail=refused',
      'content-type': 'application/problem+json; charset=utf-8',
      'content-length': `${body.length}`,
    })
    expect(later).toBe(0)
    expect(await metrics.text()).toMatch(
      /^lockstep_test_seconds_count\{route="\/products\/:id",status_class="5xx"\} 1$/m,
    )
  })

  test('twenty of one turn leave over three, so that what comes in between is never behind all of them', async () => {
    const sent: string[] = []
    const raw = {
      writeHead: () => ({
        end: (body: string) => void sent.push((JSON.parse(body) as { requestId: string }).requestId),
      }),
    }
    const reply = { hijack: () => undefined, getHeaders: () => ({}), raw } as unknown as FastifyReply
    const arrive = (count: number, from: number): void => {
      for (let each = from; each < from + count; each++) refuse({ id: `${each}` } as FastifyRequest, reply)
    }
    arrive(12, 0)
    const sentByTurn: number[] = []
    for (let turn = 0; turn < 4; turn++) {
      await endOfTurn()
      sentByTurn.push(sent.length)
      if (turn === 0) arrive(8, 12)
    }
    expect(sentByTurn).toEqual([8, 16, 20, 20])
    // Who came first is answered first.
    expect(sent).toEqual(Array.from({ length: 20 }, (_, each) => `${each}`))
  })
})
