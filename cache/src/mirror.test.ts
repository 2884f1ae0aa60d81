import { epochStart, type Stamp } from '@lockstep/schemas'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FenceRing } from './fence-ring.ts'
import { LocalCache } from './l1/local-cache.ts'
import { Mirror } from './mirror.ts'
import type { Attachment } from './store.ts'
import { stampAt } from './testing/store-contract.ts'

const attachment = (start: Stamp): Attachment => ({
  generation: 1,
  start,
  everything: epochStart(1),
  classes: new Map([['brand', stampAt(5)]]),
  watermark: '',
  echo: '',
  nonce: 'n',
  id: '1-1',
})
const product = ['product:1', 'category:7']

describe('cache/mirror', () => {
  test('a value is covered by a newer fence of a tag, a class or everything, and by no other', () => {
    for (const tag of ['product:1', 'category:7', 'product:*', 'category:*', '*']) {
      const mirror = new Mirror()
      mirror.raise(tag, stampAt(5), 0)
      expect(mirror.covers(product, stampAt(4))).toBe(true)
      expect(mirror.covers(product, stampAt(5))).toBe(false)
    }
    const mirror = new Mirror()
    for (const tag of ['product:2', 'brand:*', 'product', 'category:70']) mirror.raise(tag, stampAt(5), 0)
    expect(mirror.covers(product, stampAt(4))).toBe(false)
  })

  test('whatever the order and the repeats, the greatest stamp of a tag remains', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { minLength: 1 }), (stamps) => {
        const mirror = new Mirror()
        for (const n of stamps) mirror.raise('product:1', stampAt(n), 0)
        const greatest = Math.max(...stamps)
        expect(mirror.covers(product, stampAt(greatest))).toBe(false)
        expect(greatest === 0 || mirror.covers(product, stampAt(greatest - 1))).toBe(true)
      }),
    )
  })

  test('every fence since attaching is remembered, or the start has risen to it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(1_000)), { maxLength: 60, size: 'max' }), (fences) => {
        const mirror = new Mirror(5)
        mirror.attach(attachment(stampAt(100)), 0)
        for (const [id, n] of fences) mirror.raise(`product:${id}`, stampAt(n), 0)
        for (const [id, n] of fences) {
          const dependencies = [`product:${id}`]
          const older = stampAt(Math.max(0, n - 1))
          const isKnown = n === 0 || mirror.covers(dependencies, older)
          expect(isKnown || (mirror.start ?? '') > older).toBe(true)
        }
        expect(mirror.size).toBeLessThanOrEqual(5)
      }),
    )
  })

  test('what was raised but once longest ago is dropped first, never what has just been raised', () => {
    const mirror = new Mirror(3)
    mirror.attach(attachment(stampAt(1)), 0)
    for (const n of [2, 3]) for (const tag of ['a:1', 'b:1', 'c:1']) mirror.raise(tag, stampAt(n), n)
    mirror.raise('d:1', stampAt(9), 9)
    expect(['a:1', 'b:1', 'c:1', 'd:1'].map((tag) => mirror.fenceOf(tag) !== null)).toEqual([false, true, true, true])
    expect(mirror.start).toBe(stampAt(3))
    mirror.raise('b:1', stampAt(10), 10)
    mirror.raise('e:1', stampAt(11), 11)
    expect(['b:1', 'c:1', 'd:1', 'e:1'].map((tag) => mirror.fenceOf(tag) !== null)).toEqual([true, false, true, true])
  })

  test('classes of the watermark hash count from attaching, and attaching again forgets no fence', () => {
    const mirror = new Mirror()
    mirror.raise('product:1', stampAt(9), 0)
    mirror.attach(attachment(stampAt(3)), 0)
    expect(mirror.covers(['brand:1'], stampAt(4))).toBe(true)
    expect(mirror.covers(product, stampAt(8))).toBe(true)
    mirror.detach()
    expect(mirror.start).toBeNull()
  })

  test('a tag counts as fenced lately while that cannot be ruled out', () => {
    const mirror = new Mirror(1)
    expect(mirror.raisedAfter(product, 0)).toBe(true)
    mirror.attach({ ...attachment(stampAt(1)), classes: new Map() }, 100)
    expect(mirror.raisedAfter(product, 50)).toBe(true)
    expect(mirror.raisedAfter(product, 100)).toBe(false)
    mirror.raise('category:7', stampAt(2), 200)
    expect(mirror.raisedAfter(product, 150)).toBe(true)
    mirror.raise('other:1', stampAt(3), 300)
    expect(mirror.raisedAfter(product, 150)).toBe(true)
    expect(mirror.raisedAfter(product, 250)).toBe(false)
  })
})

describe('cache/fence-ring', () => {
  test('only fences of the window, of the dependencies and newer than the stamp conflict', () => {
    const ring = new FenceRing(100)
    ring.push('product:1', stampAt(5))
    const since = ring.sequence
    ring.push('product:2', stampAt(9))
    ring.push('category:*', stampAt(7))
    const until = ring.sequence
    ring.push('product:1', stampAt(9))
    expect(ring.conflicts({ since, until }, product, stampAt(6))).toBe(true)
    expect(ring.conflicts({ since, until }, product, stampAt(7))).toBe(false)
    expect(ring.conflicts({ since }, product, stampAt(7))).toBe(true)
    expect(ring.conflicts({ since: until, until: since }, product, stampAt(0))).toBe(false)
  })

  test('what has been overwritten counts as a conflict', () => {
    const ring = new FenceRing(4)
    const since = ring.sequence
    for (let n = 0; n < 5; n++) ring.push('other:1', stampAt(1))
    expect(ring.conflicts({ since }, product, stampAt(9))).toBe(true)
    expect(ring.conflicts({ since: since + 1 }, product, stampAt(9))).toBe(false)
  })
})

describe('cache/l1', () => {
  const record = (n: number, tags: readonly string[], bytes = 10) => ({
    value: n,
    stamp: stampAt(n),
    tags,
    refreshAt: 1e9,
    deadAt: 1e9,
    loadedAt: 0,
    bytes,
  })

  test('a fence evicts exactly the older values that depend on its tag', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.nat(9), fc.nat(3)), { maxLength: 40, size: 'max' }),
        fc.constantFrom('category:1', 'category:*', 'product:3', 'product:*', '*'),
        fc.nat(10),
        (values, tag, n) => {
          const l1 = new LocalCache({ maxBytes: 1e6 })
          for (const [id, stamp, category] of values) {
            l1.set(`product:${id}`, record(stamp, [`product:${id}`, `category:${category}`]))
          }
          const expected = Array.from({ length: 10 }, (_, id) => {
            const held = l1.peek(`product:${id}`)
            const isNamed =
              tag === '*' || tag.endsWith(':*') || (held !== undefined && [held.key, ...held.tags].includes(tag))
            return held !== undefined && isNamed && held.stamp < stampAt(n) ? undefined : held
          })
          l1.evict(tag, stampAt(n))
          for (const [id, held] of expected.entries()) expect(l1.peek(`product:${id}`)).toBe(held)
        },
      ),
    )
  })

  test('an older value never replaces a newer one', () => {
    const l1 = new LocalCache({ maxBytes: 1e6 })
    l1.set('product:1', record(5, ['product:1']))
    l1.set('product:1', record(4, ['product:1']))
    expect(l1.get('product:1')?.value).toBe(5)
  })

  test('bytes and entries are bounded, the least recently used goes first', () => {
    const l1 = new LocalCache({ maxBytes: 10_000, maxEntries: 3 })
    for (let n = 0; n < 4; n++) {
      l1.set(`product:${n}`, record(n, [`product:${n}`]))
      l1.get('product:0')
    }
    expect([0, 1, 2, 3].map((n) => l1.peek(`product:${n}`)?.value)).toEqual([0, undefined, 2, 3])
    l1.set('product:5', record(5, ['product:5'], 9_000))
    expect(l1.bytes).toBeLessThanOrEqual(10_000)
    l1.set('product:5', record(6, ['product:5'], 20_000))
    expect(l1.peek('product:5')).toBeUndefined()
  })

  test('a value that was evicted for room leaves nothing in the index', () => {
    const l1 = new LocalCache({ maxBytes: 1_000_000, maxEntries: 1 })
    l1.set('product:1', record(1, ['product:1', 'category:1']))
    l1.set('product:2', record(2, ['product:2']))
    expect(l1.evict('category:1', stampAt(9))).toBe(0)
    expect(l1.evict('product:*', stampAt(9))).toBe(1)
    expect(l1.size).toBe(0)
  })
})
