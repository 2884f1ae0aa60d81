import { describe, expect, test } from 'vitest'
import { parseTiers } from './tier-list.ts'

describe('cdn-purger/tier-list', () => {
  test('tiers keep their order, and each provider has a name of its own', () => {
    const text =
      'varnish+http://shield:6081; varnish+http://a:6081,varnish+http://b:6081;fastly+https://api.fastly.com/service/S1'
    expect(parseTiers(text).map((tier) => tier.map(({ name }) => name))).toEqual([
      ['varnish:shield:6081'],
      ['varnish:a:6081', 'varnish:b:6081'],
      ['fastly:api.fastly.com:S1'],
    ])
  })

  test.for(['', ' ; ', 'http://a', 'squid+http://a', 'varnish+http://', 'varnish+http://a,varnish+http://a'])(
    'a list such as "%s" is refused with a remedy',
    (text) => {
      expect(() => parseTiers(text)).toThrow('LOCKSTEP_PURGER_TIERS')
    },
  )

  test('a URL with credentials is refused without repeating them', () => {
    const parse = () => parseTiers('varnish+http://user:hunter2@a')
    expect(parse).toThrow('must not hold credentials')
    expect(parse).not.toThrow('hunter2')
  })
})
