import { describe, expect, test } from 'vitest'
import { slotOf } from './cluster-slot.ts'
import { compareBusIds, redisKeys } from './redis-keys.ts'

describe('schemas/redis-keys', () => {
  const keys = redisKeys('shop')

  test('all keys of a namespace share a slot, whatever their names hold', () => {
    const all = [keys.watermark, keys.bus, keys.acks, keys.value('p:{1}'), keys.fence('p:1'), keys.lease('{p}')]
    expect(new Set(all.map(slotOf))).toEqual(new Set([slotOf('shop')]))
    expect(new Set(all).size).toBe(all.length)
  })

  test('stream ids are ordered by number, not by text', () => {
    expect(compareBusIds('9-0', '10-0')).toBe(-1)
    expect(compareBusIds('10-10', '10-9')).toBe(1)
    expect(compareBusIds('10-9', '10-9')).toBe(0)
    expect(compareBusIds('1763727877123-0', '9007199254740993-1')).toBe(-1)
  })
})
