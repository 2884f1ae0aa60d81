import { describe, expect, test } from 'vitest'
import { compareBusIds, redisKeys } from './redis-keys.ts'

describe('schemas/redis-keys', () => {
  const keys = redisKeys('shop')
  const slotOf = (key: string) => /\{(.*?)\}/.exec(key)?.[1]

  test('the watermark, the bus and the acks share a slot', () => {
    expect(new Set([keys.watermark, keys.bus, keys.acks].map(slotOf))).toEqual(new Set(['shop']))
  })

  test('the value, the fence and the lease of one name share a slot', () => {
    expect(new Set([keys.value('p:1'), keys.fence('p:1'), keys.lease('p:1')].map(slotOf))).toEqual(new Set(['p:1']))
  })

  test('stream ids are ordered by number, not by text', () => {
    expect(compareBusIds('9-0', '10-0')).toBe(-1)
    expect(compareBusIds('10-10', '10-9')).toBe(1)
    expect(compareBusIds('10-9', '10-9')).toBe(0)
    expect(compareBusIds('1763727877123-0', '9007199254740993-1')).toBe(-1)
  })
})
