import { describe, expect, test } from 'vitest'
import { slotOf } from './cluster-slot.ts'

describe('schemas/cluster-slot', () => {
  test('the hash is that of Redis', () => {
    // The check value of CRC-16/XMODEM, and what `CLUSTER KEYSLOT` of Redis 7.0 says.
    expect(slotOf('123456789')).toBe(0x31c3)
    expect(slotOf('foo')).toBe(12_182)
    expect(slotOf('')).toBe(0)
  })

  test('only what stands in the first braces counts, unless there is nothing in them', () => {
    expect(slotOf('{foo}:w')).toBe(slotOf('foo'))
    expect(slotOf('a{foo}{bar}')).toBe(slotOf('foo'))
    expect(slotOf('foo{}{bar}')).not.toBe(slotOf('bar'))
    expect(slotOf('{foo')).not.toBe(slotOf('foo'))
  })
})
