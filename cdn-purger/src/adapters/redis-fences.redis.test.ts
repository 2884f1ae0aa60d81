import { randomUUID } from 'node:crypto'
import { parseTag, redisKeys, ZERO_STAMP } from '@lockstep/schemas'
import { Redis } from 'ioredis'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { createRedisFences } from './redis-fences.ts'

const url = inject('redisUrl')
const redis = new Redis(url)
afterAll(() => redis.disconnect())

const stamp = (n: number) => String(n).padStart(28, '0')
const [product, category] = [parseTag('product:1'), parseTag('category:2')]

describe('cdn-purger/redis-fences', () => {
  test('the greatest fence is that of a tag, of its class or of everything, and no fence is older than all', async () => {
    const namespace = `f${randomUUID().slice(0, 8)}`
    const keys = redisKeys(namespace)
    const fences = createRedisFences(url, namespace, () => undefined)
    expect(await fences.greatest([product])).toBe(ZERO_STAMP)
    await redis.set(keys.fence(product), `${stamp(5)}:incarnation`)
    await redis.set(keys.fence(category), `${stamp(6)}:incarnation`)
    expect(await fences.greatest([product])).toBe(stamp(5))
    expect(await fences.greatest([product, category])).toBe(stamp(6))
    await redis.hset(keys.watermark, 'c:product', stamp(7))
    expect(await fences.greatest([product])).toBe(stamp(7))
    expect(await fences.greatest([category])).toBe(stamp(6))
    await redis.hset(keys.watermark, '*', stamp(8))
    expect(await fences.greatest([])).toBe(stamp(8))
    fences.close()
  })

  test('a Redis that is away is an error, never an old fence', async () => {
    const fences = createRedisFences('redis://127.0.0.1:1', 'f', () => undefined)
    await expect(fences.greatest([product])).rejects.toThrow(/closed|retries/i)
    fences.close()
  })
})
