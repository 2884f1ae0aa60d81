import { createCache } from '../cache.ts'

/** What the parent tells a child of the stampede test, as JSON in the first argument. */
export interface StampedeOrder {
  readonly redisUrl: string
  readonly namespace: string
  readonly readers: number
  readonly loadMs: number
  readonly noLease: boolean
}

/** What the child answers: times are ms since the Unix epoch. */
export interface StampedeReport {
  readonly loads: number
  readonly loadEndedAt: number
  readonly lastAnswerAt: number
  readonly values: readonly string[]
}

const order = JSON.parse(process.argv[2] ?? '{}') as StampedeOrder
const { redisUrl, namespace, readers, loadMs, noLease } = order
const nowMs = (): number => performance.timeOrigin + performance.now()
let loadEndedAt = 0
const cache = createCache({ redis: { url: redisUrl }, namespace, commandTimeoutMs: 2_000, unsafe: { noLease } })
const entry = cache.define<string, { by: number }>('product', {
  key: (id) => `product:${id}`,
  load: async () => {
    await new Promise((resolve) => setTimeout(resolve, loadMs))
    loadEndedAt = nowMs()
    return { by: process.pid }
  },
  tags: () => ['category:7'],
  ttlMs: 60_000,
})
await cache.start()

process.once('message', () => {
  void Promise.all(Array.from({ length: readers }, () => entry.get('1'))).then(async (values) => {
    const lastAnswerAt = nowMs()
    const report: StampedeReport = {
      loads: cache.stats().loads,
      loadEndedAt,
      lastAnswerAt,
      values: [...new Set(values.map((value) => JSON.stringify(value)))],
    }
    process.send?.(report)
    await cache.stop()
    process.disconnect()
  })
})
process.send?.('ready')
