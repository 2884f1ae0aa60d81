import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stampAt } from '../testing/store-contract.ts'
import type { EvictionPolicy } from './eviction.ts'
import { LocalCache } from './local-cache.ts'

setFlagsFromString('--expose-gc')

const POLICIES: readonly EvictionPolicy[] = ['lru', 'lfu', 'fifo', 'ttl']

function put(l1: LocalCache, key: string, deadAt = 1e9, bytes = 10): void {
  const tags = [key, 'category:7']
  l1.set(key, { value: key, stamp: stampAt(1), tags, refreshAt: deadAt, deadAt, loadedAt: 0, bytes })
}

const left = (l1: LocalCache, keys: readonly string[]): string[] => keys.filter((key) => l1.peek(key) !== undefined)

describe('cache/l1 policies', () => {
  const keys = ['a', 'b', 'c', 'd']

  function afterOneTooMany(policy: EvictionPolicy, use: (l1: LocalCache) => void, deadAt = (_key: string) => 1e9) {
    const l1 = new LocalCache({ maxBytes: 1e6, maxEntries: keys.length, policy })
    for (const key of keys) put(l1, key, deadAt(key))
    use(l1)
    put(l1, 'e', 2e9)
    return left(l1, [...keys, 'e'])
  }

  test('fifo: the oldest leaves however often it was read', () => {
    expect(afterOneTooMany('fifo', (l1) => void l1.get('a'))).toEqual(['b', 'c', 'd', 'e'])
  })

  test('lru: what was read lately stays', () => {
    expect(afterOneTooMany('lru', (l1) => void l1.get('a'))).toEqual(['a', 'c', 'd', 'e'])
  })

  test('lfu: what is read often stays although it was not read lately', () => {
    const use = (l1: LocalCache): void => {
      for (let n = 0; n < 50; n++) l1.get('a')
      for (const key of ['b', 'd']) l1.get(key)
    }
    expect(afterOneTooMany('lfu', use)).toEqual(['a', 'b', 'd', 'e'])
  })

  test('lfu: old fame fades', () => {
    const l1 = new LocalCache({ maxBytes: 1e6, maxEntries: 4, policy: 'lfu' })
    put(l1, 'star')
    for (let n = 0; n < 200; n++) l1.get('star')
    for (let n = 0; n < 500 && l1.peek('star'); n++) {
      put(l1, `new:${n}`)
      for (let uses = 0; uses < 4; uses++) l1.get(`new:${n}`)
    }
    expect(l1.peek('star')).toBeUndefined()
  })

  test('ttl: what ends first leaves first', () => {
    expect(
      afterOneTooMany(
        'ttl',
        () => undefined,
        (key) => (key === 'c' ? 10 : 100),
      ),
    ).toEqual(['a', 'b', 'd', 'e'])
  })

  test('what is renewed counts as new, and one often used keeps its fame', () => {
    const renewed = (policy: EvictionPolicy, key: string, deadAt?: number) =>
      afterOneTooMany(policy, (l1) => put(l1, key, deadAt))
    expect(renewed('fifo', 'a')).toEqual(['a', 'c', 'd', 'e'])
    expect(renewed('lru', 'a')).toEqual(['a', 'c', 'd', 'e'])
    expect(renewed('ttl', 'c', 10)).toEqual(['a', 'b', 'd', 'e'])
    const use = (l1: LocalCache): void => {
      for (const key of keys) for (let n = 0; n < (key === 'c' ? 1 : 9); n++) l1.get(key)
      put(l1, 'a')
    }
    expect(afterOneTooMany('lfu', use)).toEqual(['a', 'b', 'd', 'e'])
  })

  test.each(POLICIES)('%s: bytes, entries and index agree with what is there, whatever happens', (policy) => {
    const step = fc.tuple(fc.constantFrom('put', 'get', 'evict', 'clear'), fc.nat(12), fc.nat(1_000))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        const l1 = new LocalCache({ maxBytes: 1_700, maxEntries: 5, policy })
        const bytes: number[] = []
        for (const [what, id, deadAt] of steps) {
          if (what === 'put') {
            bytes[id] = deadAt % 2 === 0 ? 10 : 400
            put(l1, `k:${id}`, deadAt, bytes[id])
          }
          if (what === 'get') l1.get(`k:${id}`)
          if (what === 'evict') l1.evict(`k:${id}`, stampAt(2))
          if (what === 'clear' && id === 0) l1.clear()
          const held = Array.from({ length: 13 }, (_, n) => n).filter((n) => l1.peek(`k:${n}`) !== undefined)
          expect(l1.size).toBe(held.length)
          expect(l1.size).toBeLessThanOrEqual(5)
          expect(l1.bytes).toBe(held.reduce((sum, n) => sum + (bytes[n] ?? 0) + 220, 0))
          expect(l1.bytes).toBeLessThanOrEqual(1_700)
        }
        const size = l1.size
        expect(l1.evict('category:7', stampAt(2))).toBe(size)
        expect(l1.bytes).toBe(0)
      }),
    )
  })

  test.each(POLICIES)('%s: fenced values count no more, however many they were, and may come back', (policy) => {
    const many = Array.from({ length: 3_000 }, (_, n) => `k:${n}`)
    const l1 = new LocalCache({ maxBytes: 1e9, maxEntries: many.length, policy })
    for (const round of [1, 2]) {
      for (const key of many) put(l1, key)
      expect([round, left(l1, many).length, l1.size]).toEqual([round, many.length, many.length])
      for (const key of many) l1.evict(key, stampAt(2))
      expect([round, left(l1, many).length, l1.size, l1.bytes]).toEqual([round, 0, 0, 0])
    }
  })

  test('of fenced keys those that went longest ago are forgotten first, also after all was cleared', () => {
    const many = Array.from({ length: 1_500 }, (_, n) => `k:${n}`)
    const l1 = new LocalCache({ maxBytes: 1e9 })
    for (let round = 0; round < 3; round++) {
      for (const key of many) put(l1, key)
      for (const key of many) l1.evict(key, stampAt(2))
      // Half of them come back and go again, so that the order is not that of the first time.
      for (const key of many.slice(700)) put(l1, key)
      expect([round, l1.size]).toEqual([round, 800])
      expect(l1.evict('category:7', stampAt(2))).toBe(800)
      l1.clear()
      expect([round, l1.size, l1.evict('category:7', stampAt(2))]).toEqual([round, 0, 0])
    }
  })

  test.each([1_500, 1_520, 1_540, 1_560, 1_580, 1_600, 1_620])(
    'what is read all the time stays where %i were fenced',
    (many) => {
      const l1 = new LocalCache({ maxBytes: 1e9, maxEntries: 100 })
      for (let n = 0; n < 99; n++) put(l1, `cold:${n}`)
      put(l1, 'hot')
      for (let n = 0; n < many; n++) {
        put(l1, `k:${n}`)
        l1.evict(`k:${n}`, stampAt(2))
        l1.get('hot')
      }
      for (let n = 0; n < 300; n++) {
        put(l1, `new:${n}`)
        expect([n, l1.get('hot')?.value]).toEqual([n, 'hot'])
      }
    },
  )

  test('an older value may come where a newer one was fenced', () => {
    const l1 = new LocalCache({ maxBytes: 1e6 })
    const kept = { value: 1, refreshAt: 1e9, deadAt: 1e9, loadedAt: 0, bytes: 10 }
    for (let n = 0; n < 20; n++) put(l1, `k:${n}`)
    l1.set('k', { ...kept, stamp: stampAt(5), tags: ['k', 'a'] })
    l1.evict('a', stampAt(6))
    l1.set('k', { ...kept, stamp: stampAt(4), tags: ['k', 'b'] })
    expect(l1.peek('k')?.stamp).toBe(stampAt(4))
  })

  test('a value that came back is not forgotten with the record it once had', () => {
    const l1 = new LocalCache({ maxBytes: 1e6 })
    put(l1, 'a')
    l1.evict('a', stampAt(2))
    l1.set('a', { value: 1, stamp: stampAt(1), tags: ['a'], refreshAt: 1, deadAt: 1, loadedAt: 0, bytes: 2e6 })
    put(l1, 'a')
    for (let n = 0; n < 3_000; n++) {
      put(l1, `k:${n}`)
      l1.evict(`k:${n}`, stampAt(2))
    }
    expect([left(l1, ['a']), l1.size, l1.bytes]).toEqual([['a'], 1, 230])
  })

  test('values that are fenced and come back for ever take no more memory', () => {
    const collect = runInNewContext('gc') as () => void
    const keys64 = Array.from({ length: 64 }, (_, n) => `k:${n}`)
    const l1 = new LocalCache({ maxBytes: 1e9 })
    const churn = (): number => {
      for (let n = 0; n < 300_000; n++) {
        const key = keys64[n % keys64.length] ?? ''
        put(l1, key)
        l1.evict(key, stampAt(2))
      }
      collect()
      return process.memoryUsage().heapUsed
    }
    const [before, after] = [churn(), churn()]
    // An iterator that stays behind in the map of fenced keys costs 15 MB more here.
    expect((after - before) / 1e6).toBeLessThan(5)
  })

  test('a fenced value that comes back with other tags is found by those and by no others', () => {
    const l1 = new LocalCache({ maxBytes: 1e6 })
    const set = (n: number, others: readonly string[]): void => {
      const kept = { value: n, stamp: stampAt(n), tags: ['k', ...others], refreshAt: 1e9, deadAt: 1e9 }
      l1.set('k', { ...kept, loadedAt: 0, bytes: 10 })
    }
    set(1, ['a', 'b'])
    expect(l1.evict('a', stampAt(2))).toBe(1)
    set(2, ['b', 'c'])
    expect(l1.evict('a', stampAt(3))).toBe(0)
    expect(l1.evict('c', stampAt(3))).toBe(1)
    set(3, ['b', 'c'])
    expect(l1.evict('b', stampAt(4))).toBe(1)
    set(4, ['b', 'c', 'd'])
    expect(l1.evict('d', stampAt(5))).toBe(1)
    set(5, ['b'])
    set(6, ['b', 'c'])
    expect(l1.evict('c', stampAt(7))).toBe(1)
    const many = Array.from({ length: 12 }, (_, n) => `tag:${n}`)
    set(7, many)
    expect(l1.evict('k', stampAt(8))).toBe(1)
    set(8, many)
    expect(l1.evict('tag:11', stampAt(9))).toBe(1)
    expect([l1.size, l1.bytes]).toEqual([0, 0])
  })
})
