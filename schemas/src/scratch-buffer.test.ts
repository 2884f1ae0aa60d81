import { describe, expect, test } from 'vitest'
import { ScratchBuffer } from './scratch-buffer.ts'

describe('schemas/scratch-buffer', () => {
  test('what was taken is a copy', () => {
    const scratch = new ScratchBuffer()
    scratch.atLeast(3).write('abc')
    const taken = scratch.take(3)
    scratch.atLeast(3).write('xyz')
    expect(taken.toString()).toBe('abc')
  })

  test('it grows to what is asked for and gives a very large buffer back', () => {
    const scratch = new ScratchBuffer()
    expect(scratch.atLeast(100_000).length).toBeGreaterThanOrEqual(100_000)
    expect(scratch.atLeast(1)).toBe(scratch.atLeast(100_000))
    scratch.atLeast(5_000_000)
    scratch.take(1)
    expect(scratch.atLeast(1).length).toBeLessThan(1_000_000)
  })
})
