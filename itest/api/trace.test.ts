import { API_OPTIONS, seedShop, startApi, startWorker, WORKER_OPTIONS, SHOP_PARTITIONS } from '@lockstep/api'
import { createKafkaLog, createLogger, createMetrics, ensureTopics, loadConfig, silentLogger } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { startKafka, startPostgres, startRedis } from '@lockstep/servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { signIn } from './sign-in.ts'

const NAMESPACE = 'traced'
const DEADLINE_MS = 30_000
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'
const NEW_TRACE = /^00-(?!4bf92f)[0-9a-f]{32}-[0-9a-f]{16}-00$/

interface Line {
  readonly msg: string
  readonly trace_id?: string
  readonly span_id?: string
  readonly orderId?: string
}

/** API and worker over a real broker, each with what it wrote to its log. */
async function openShop() {
  const [postgres, redis, kafka] = await Promise.all([
    startPostgres({ major: 'any', needs: 'process' }),
    startRedis({ needs: 'process' }),
    startKafka(),
  ])
  for (const server of [postgres, redis, kafka]) onTestFinished(() => server.stop())
  await seedShop(postgres.url, { products: 3, categories: 1 })
  const connection = { brokers: kafka.brokers, namespace: NAMESPACE, clientId: 'test' }
  await ensureTopics(connection, SHOP_PARTITIONS)
  const env = {
    LOCKSTEP_NAMESPACE: NAMESPACE,
    LOCKSTEP_REDIS_URL: redis.url,
    LOCKSTEP_KAFKA_BROKERS: kafka.brokers.join(','),
    LOCKSTEP_API_DATABASE_URL: postgres.url,
    LOCKSTEP_API_HOST: '127.0.0.1',
    LOCKSTEP_API_PORT: '0',
    LOCKSTEP_API_ADMIN_PORT: '0',
    LOCKSTEP_API_DRAIN_MS: '0',
    LOCKSTEP_SHOP_WORKER_ROLES: 'views,orders',
  }
  const lines: Line[] = []
  const logger = createLogger({
    service: 'shop-worker',
    level: 'debug',
    sink: { write: (line) => void lines.push(JSON.parse(line) as Line) },
  })
  const log = createKafkaLog(connection)
  onTestFinished(() => log.close())
  const worker = await startWorker(loadConfig(WORKER_OPTIONS, { env }), { log, logger, metrics: createMetrics() })
  onTestFinished(() => worker.stop())
  const api = await startApi(loadConfig(API_OPTIONS, { env }), { log: silentLogger, metrics: createMetrics() })
  onTestFinished(() => api.stop())
  const sent = new Map<string, (string | undefined)[]>()
  for (const topic of ['shop-views', 'shop-orders', 'shop-dead-letters']) {
    const group = `test-${topic}`
    const reader = await log.consume({ topic, group }, (batch) => {
      const headers = batch.records.map((record) => record.headers?.['traceparent'])
      sent.set(topic, [...(sent.get(topic) ?? []), ...headers])
      batch.commit()
      return Promise.resolve()
    })
    onTestFinished(() => reader.stop())
  }
  return { url: api.url, lines, sent }
}

describe('itest/api/trace', () => {
  test('the trace of a request goes on in the records it sets off, and in the lines of the worker that handles them', async () => {
    const { url, lines, sent } = await openShop()
    const authorization = `Bearer ${await signIn(url, 'anna')}`
    const post = async (path: string, traceparent: string, body?: object): Promise<Response> => {
      const headers = { authorization, traceparent, tracestate: 'rojo=1', 'idempotency-key': traceparent }
      const json = { body: JSON.stringify(body), headers: { ...headers, 'content-type': 'application/json' } }
      const response = await fetch(url + path, { method: 'POST', ...(body ? json : { headers }) })
      expect(response.status).toBe(202)
      return response
    }
    const lineOf = async (isIt: (line: Line) => boolean): Promise<Line> => {
      await waitFor(() => lines.some(isIt), DEADLINE_MS)
      return lines.find(isIt) as Line
    }
    const order = { lines: [{ productId: 1, quantity: 1 }] }

    const { id } = (await (await post('/orders', `00-${TRACE}-${PARENT}-01`, order)).json()) as { id: string }
    const decided = await lineOf(({ orderId }) => orderId === id)
    expect(decided).toMatchObject({ msg: 'order decided', trace_id: TRACE })
    await waitFor(() => sent.has('shop-orders'), DEADLINE_MS)
    const [record] = sent.get('shop-orders') ?? []
    expect(record).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
    // Each process is a part of its own.
    expect(new Set([PARENT, record?.split('-')[2], decided.span_id]).size).toBe(3)

    // Nothing that could be taken for a trace: a new one, and no complaint.
    const other = (await (await post('/orders', `00-${TRACE}-${PARENT}-zz`, order)).json()) as { id: string }
    const newTrace = (await lineOf(({ orderId }) => orderId === other.id)).trace_id
    await waitFor(() => sent.get('shop-orders')?.length === 2, DEADLINE_MS)
    expect(sent.get('shop-orders')?.[1]).toMatch(NEW_TRACE)
    expect(sent.get('shop-orders')?.[1]).toContain(newTrace)

    // A view of what does not exist is put aside with its trace.
    await post('/products/999/views', `00-${TRACE}-${PARENT}-00`)
    expect(await lineOf(({ msg }) => msg.includes('a record of shop-views'))).toMatchObject({ trace_id: TRACE })
    await waitFor(() => sent.has('shop-dead-letters'), DEADLINE_MS)
    expect(sent.get('shop-dead-letters')).toEqual(sent.get('shop-views'))
    expect(sent.get('shop-views')?.[0]).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
  })
})
