import { describe, expect, test } from 'vitest'
import { freshnessOf } from './freshness.ts'

const NOW = Date.UTC(2026, 0, 1)
const lifetime = (headers: Record<string, string>, status = 200) => {
  const { storable, lifetimeMs } = freshnessOf(status, headers, NOW)
  return storable ? lifetimeMs / 1000 : 'refused'
}

describe('cdn-purger/freshness', () => {
  test.for([
    [{ 'cache-control': 'max-age=9' }, 9],
    [{ 'cache-control': 'max-age=9, s-maxage=5' }, 5],
    [{ 'cache-control': 'MAX-AGE=9' }, 9],
    [{ 'cache-control': 'max-age="9"' }, 9],
    [{ 'cache-control': 'max-age=9', 'cdn-cache-control': 'max-age=3' }, 3],
    [{ 'cache-control': 'max-age=9', 'cdn-cache-control': 'max-age=3, s-maxage=4' }, 3],
    // A targeted field that does not parse is ignored (RFC 9213 §2.2).
    [{ 'cache-control': 'max-age=9', 'cdn-cache-control': 'max-age="3' }, 9],
    [{ 'cache-control': 'max-age=9', 'cdn-cache-control': '' }, 9],
    [{ expires: new Date(NOW + 4_000).toUTCString(), date: new Date(NOW).toUTCString() }, 4],
    [{ expires: '0' }, 0],
    [{ 'cache-control': 'max-age=-1' }, 'refused'],
    [{ 'cache-control': 'public' }, 'refused'],
    [{ 'cache-control': 'max-age=9, no-store' }, 'refused'],
    [{ 'cache-control': 'max-age=9, private' }, 'refused'],
    [{ 'cache-control': 'max-age=9, no-cache' }, 'refused'],
    [{ 'cache-control': 'max-age=9 no-store' }, 'refused'],
    [{ 'cache-control': 'max-age=9', vary: 'Accept, *' }, 'refused'],
    [{}, 'refused'],
  ] as const)('%j is fresh for %s', ([headers, expected]) => {
    expect(lifetime(headers as Record<string, string>)).toBe(expected)
  })

  test('only final statuses of whole responses are stored', () => {
    const headers = { 'cache-control': 'max-age=9' }
    expect([200, 301, 404, 410].map((status) => lifetime(headers, status))).toEqual([9, 9, 9, 9])
    expect([206, 302, 304, 500, 503].map((status) => lifetime(headers, status))).toEqual(Array(5).fill('refused'))
  })

  test('stale answers need the permission of the origin, and must-revalidate withdraws it', () => {
    const stale = (field: string) => freshnessOf(200, { 'cdn-cache-control': field }, NOW).staleWhileRevalidateMs
    expect(stale('max-age=1')).toBe(0)
    expect(stale('max-age=1, stale-while-revalidate=5')).toBe(5_000)
    expect(stale('max-age=1, stale-while-revalidate=5, must-revalidate')).toBe(0)
  })

  test('the age on arrival counts', () => {
    expect(freshnessOf(200, { 'cache-control': 'max-age=9', age: '4' }, NOW).ageMs).toBe(4_000)
  })
})
