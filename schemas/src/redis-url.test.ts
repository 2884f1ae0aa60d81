import { describe, expect, test } from 'vitest'
import { clusterOf, sentinelOf } from './redis-url.ts'

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

  test('some nodes of a cluster suffice', () => {
    expect(clusterOf('redis://a:1')).toBeNull()
    expect(clusterOf('redis+cluster://a,b:7001')).toEqual({
      nodes: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 7001 },
      ],
    })
    expect(clusterOf('rediss+cluster://app:p%40s@a/')).toEqual({
      nodes: [{ host: 'a', port: 6379 }],
      username: 'app',
      password: 'p@s',
      tls: {},
    })
    expect(() => clusterOf('redis+cluster://a,/')).toThrow(/names no host/)
    expect(() => clusterOf('redis+cluster://a/1')).toThrow(/names no host/)
  })

  test.each(['redis+sentinel://a', 'redis+sentinel:///main', 'redis+sentinel://a:b/main', 'redis+sentinel://a,/main'])(
    '%s is refused with a remedy and without being repeated',
    (url) => {
      expect(() => sentinelOf(url)).toThrow(/names no host, or no master of Sentinel: Write redis\+sentinel/)
    },
  )
})
