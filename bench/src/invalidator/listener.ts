/** One API process of the latency bench: attached to the bus, it notes when each tag's change took effect here. */
import { createCache } from '@lockstep/cache'

const { redisUrl, namespace } = JSON.parse(process.argv[2] ?? '{}') as { redisUrl: string; namespace: string }
const nowMs = (): number => performance.timeOrigin + performance.now()
const PREFIX = 'item:'
const arrivals: [id: number, at: number][] = []

const cache = createCache({ redis: { url: redisUrl }, namespace })
const items = cache.define<string, { id: string }>('item', {
  key: (id) => `${PREFIX}${id}`,
  load: (id) => Promise.resolve({ id }),
  tags: () => [],
  ttlMs: 60_000,
})
cache.onInvalidated((fences) => {
  const at = nowMs()
  for (const [tag] of fences) if (tag.startsWith(PREFIX)) arrivals.push([Number(tag.slice(PREFIX.length)), at])
})
await cache.start()
await items.get('0')
process.on('message', () => {
  process.send?.(arrivals, () => void cache.stop().then(() => process.disconnect()))
})
process.send?.('attached')
