import { fileURLToPath } from 'node:url'
import { seedShop } from '@lockstep/api'
import { waitFor } from '@lockstep/runtime/testing'
import { createKafkaLog, type ReceivedRecord } from '@lockstep/runtime'
import { decodeEvent, type DeadLetter } from '@lockstep/schemas'
import { freePort, startKafka, startPostgres, startRedis } from '@lockstep/servers'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { lockstep, type TestProcess } from '../process.ts'
import { signIn } from './sign-in.ts'

const RULES = fileURLToPath(new URL('../../api/lockstep.rules.yaml', import.meta.url))
const NAMESPACE = 'queues'
const DEADLINE_MS = 60_000
const PRODUCTS = 20
const LOAD_MS = 9_000

/** Servers and processes of a shop over Kafka: pipeline, API, and two workers that are killed at will. */
async function openShop() {
  const [postgres, redis, kafka] = await Promise.all([
    startPostgres({ major: 18, needs: 'process' }),
    startRedis({ needs: 'process' }),
    startKafka(),
  ])
  for (const server of [postgres, redis, kafka]) onTestFinished(() => server.stop())
  await seedShop(postgres.url, { products: PRODUCTS, categories: 4 })
  const env = {
    LOCKSTEP_NAMESPACE: NAMESPACE,
    LOCKSTEP_REDIS_URL: redis.url,
    LOCKSTEP_KAFKA_BROKERS: kafka.brokers.join(','),
    LOCKSTEP_RULES_FILE: RULES,
    LOCKSTEP_CONNECTOR_DATABASE_URL: postgres.url,
    LOCKSTEP_API_DATABASE_URL: postgres.url,
    LOCKSTEP_API_HOST: '127.0.0.1',
  }
  const start = async (command: string, more: Record<string, string> = {}): Promise<TestProcess> => {
    const child = lockstep(command, ['--admin-port', String(await freePort())], { ...env, ...more }).supervise()
    onTestFinished(async () => void (await child.stop('SIGKILL')))
    await child.says('"msg":"started"', DEADLINE_MS)
    return child
  }
  await start('connector')
  await start('invalidator')
  const workers = [await start('shop-worker'), await start('shop-worker')]
  const port = String(await freePort())
  const api = lockstep('api', ['--admin-port', String(await freePort())], {
    ...env,
    LOCKSTEP_API_PORT: port,
  }).supervise()
  onTestFinished(async () => void (await api.stop('SIGKILL')))
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => (await fetch(`${url}/products/1`).catch(() => null))?.status === 200, DEADLINE_MS)
  return { postgres, kafka, url, workers, api, env }
}

describe('itest/api/queues', () => {
  test('kill -9 of workers and API under load loses no accepted view and no accepted order, and does none twice', async () => {
    const { postgres, kafka, url, workers, api, env } = await openShop()
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    onTestFinished(() => client.end())
    const number = async (text: string): Promise<number> =>
      Number((await client.query<{ n: string }>(`select (${text})::text as n`)).rows[0]?.n ?? 0)
    const stockBefore = await number('select sum(available) from stock')
    // The log holds what is no view as well; it must stop nobody.
    const log = createKafkaLog({ brokers: kafka.brokers, namespace: NAMESPACE, clientId: 'test' })
    onTestFinished(() => log.close())
    await log.produce('shop-views', [{ key: 'x', value: Buffer.from('poison') }])
    await log.produce('shop-orders', [{ key: 'x', value: Buffer.from('poison') }])

    const authorization = `Bearer ${await signIn(url, 'anna')}`
    const sent = { views: 0, acceptedViews: 0, orders: 0, acceptedOrders: new Set<string>() }
    const until = performance.now() + LOAD_MS
    const going = (): boolean => performance.now() < until
    const view = async (): Promise<void> => {
      while (going()) {
        sent.views += 1
        const answer = await fetch(`${url}/products/${1 + (sent.views % PRODUCTS)}/views`, { method: 'POST' }).catch(
          () => null,
        )
        if (answer?.status === 202) sent.acceptedViews += 1
        else await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    const order = async (): Promise<void> => {
      while (going()) {
        sent.orders += 1
        const key = `order-${sent.orders}`
        const body = JSON.stringify({ lines: [{ productId: 1 + (sent.orders % PRODUCTS), quantity: 1 }] })
        const headers = { 'content-type': 'application/json', authorization, 'idempotency-key': key }
        // A client that got no answer asks again with the same key.
        for (let answered = false; !answered;) {
          const answer = await fetch(`${url}/orders`, { method: 'POST', headers, body }).catch(() => null)
          answered = answer !== null && answer.status === 202
          if (answer && answered) sent.acceptedOrders.add(((await answer.json()) as { id: string }).id)
          else await new Promise((resolve) => setTimeout(resolve, 50))
        }
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
    const kill = async (): Promise<void> => {
      for (const [index, victim] of [...workers, api, ...workers].entries()) {
        await new Promise((resolve) => setTimeout(resolve, LOAD_MS / 7 + 37 * index))
        victim.kill9()
      }
    }
    await Promise.all([view(), view(), view(), view(), order(), kill()])

    await waitFor(async () => (await number(`select count(*) from orders where state = 'accepted'`)) === 0, DEADLINE_MS)
    await waitFor(async () => (await number('select sum(views) from view_counts')) >= sent.acceptedViews, DEADLINE_MS)
    // Nothing is under way any more: what was counted stays what it is.
    const positions = async () =>
      JSON.stringify((await client.query('select * from log_positions order by partition')).rows)
    let last = ''
    await waitFor(async () => {
      const now = await positions()
      const isQuiet = now === last
      last = now
      await new Promise((resolve) => setTimeout(resolve, 500))
      return isQuiet
    }, DEADLINE_MS)
    const counted = await number('select sum(views) from view_counts')
    expect(counted).toBeGreaterThanOrEqual(sent.acceptedViews)
    // A request that the killed API never answered may have been accepted.
    expect(counted).toBeLessThanOrEqual(sent.views)
    const sold = await number('select sum(quantity) from sales')
    const confirmed = await number(`select count(*) from orders where state = 'confirmed'`)
    expect(await number('select count(*) from orders')).toBe(sent.orders)
    expect(sent.acceptedOrders.size).toBe(sent.orders)
    expect(sold).toBe(confirmed)
    expect(stockBefore - (await number('select sum(available) from stock'))).toBe(sold)
    expect(workers[0]?.restarts).toBeGreaterThanOrEqual(2)
    console.log('queues:', JSON.stringify({ ...sent, acceptedOrders: sent.acceptedOrders.size, counted, confirmed }))

    expect(await deadLetters(kafka.brokers)).toEqual(
      expect.arrayContaining(['LOCKSTEP_API_ORDER_UNREADABLE', 'LOCKSTEP_API_VIEW_UNREADABLE']),
    )
    await readModelAgrees(url, client)
    const rebuild = lockstep('shop-rebuild', [], env).start()
    await rebuild.says('built anew', DEADLINE_MS)
    await readModelAgrees(url, client)
  })
})

/** Codes of what was put aside. */
async function deadLetters(brokers: readonly string[]): Promise<string[]> {
  const log = createKafkaLog({ brokers: [...brokers], namespace: NAMESPACE, clientId: 'letters' })
  const codes: string[] = []
  const read = (records: readonly ReceivedRecord[]) =>
    void codes.push(...records.map(({ value }) => (decodeEvent(value) as DeadLetter).code))
  const subscription = await log.consume({ topic: 'shop-dead-letters', group: 'letters' }, (batch) => {
    read(batch.records)
    return Promise.resolve()
  })
  await waitFor(() => new Set(codes).size >= 2, DEADLINE_MS)
  await subscription.stop()
  await log.close()
  return codes
}

/** The read model says what the tables say. */
async function readModelAgrees(url: string, client: pg.Client): Promise<void> {
  const tables = await client.query<{ id: number; sold: number }>(
    'select product_id::int as id, sum(quantity)::int as sold from sales group by 1 order by 1',
  )
  const inTables = Object.fromEntries(tables.rows.map(({ id, sold }) => [id, sold]))
  const inModel = async () => {
    const response = await fetch(`${url}/bestsellers?limit=100`)
    if (response.status !== 200) return null
    const { items } = (await response.json()) as { items: { productId: number; sold: number }[] }
    return Object.fromEntries(items.map(({ productId, sold }) => [productId, sold]))
  }
  await waitFor(async () => JSON.stringify(await inModel()) === JSON.stringify(inTables), DEADLINE_MS)
  const counts = (await (await fetch(`${url}/category-counts`)).json()) as { items: { products: number }[] }
  expect(counts.items.reduce((sum, { products }) => sum + products, 0)).toBe(PRODUCTS)
}
