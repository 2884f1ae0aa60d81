import { describe, expect, test } from 'vitest'
import { sentinelOf } from './redis-url.ts'

describe('schemas/redis-url', () => {
  test('a URL of a node is left to the client', () => {
    for (const url of ['redis://:secret@a:6379/2?family=6', 'rediss://a', 'redis://127.0.0.1:1']) {
      expect(sentinelOf(url)).toBeNull()
    }
  })

  test('Sentinels and the name of the master suffice', () => {
    expect(sentinelOf('redis+sentinel://a:26380,b,[::1]:5/orders')).toEqual({
      sentinels: [
        { host: 'a', port: 26_380 },
        { host: 'b', port: 26_379 },
        { host: '::1', port: 5 },
      ],
      name: 'orders',
    })
  })

  test('credentials are those of the nodes, the query holds those of the Sentinels, any sign may be escaped', () => {
    const url = 'redis+sentinel://app:p%40ss%2F:x@a/main/3?sentinelUsername=watch&sentinelPassword=w%26t'
    expect(sentinelOf(url)).toEqual({
      sentinels: [{ host: 'a', port: 26_379 }],
      name: 'main',
      username: 'app',
      password: 'p@ss/:x',
      db: 3,
      sentinelUsername: 'watch',
      sentinelPassword: 'w&t',
    })
    expect(sentinelOf('redis+sentinel://:only@a/main')).toMatchObject({ password: 'only' })
  })

  test('rediss speaks TLS to nodes and Sentinels', () => {
    expect(sentinelOf('rediss+sentinel://a/main')).toMatchObject({
      enableTLSForSentinelMode: true,
      tls: {},
      sentinelTLS: {},
    })
  })

  test.each(['redis+sentinel://a', 'redis+sentinel:///main', 'redis+sentinel://a:b/main', 'redis+sentinel://a,/main'])(
    '%s is refused with a remedy and without being repeated',
    (url) => {
      expect(() => sentinelOf(url)).toThrow(/names no Sentinel or no master: Write redis\+sentinel/)
    },
  )
})
