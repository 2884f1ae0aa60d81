import { describe, expect, test } from 'vitest'
import { Doorkeeper } from './doorkeeper.ts'

describe('cache/doorkeeper', () => {
  test('a key is let in when it comes again while it is remembered', () => {
    const doorkeeper = new Doorkeeper(3)
    expect(['a', 'b', 'a', 'c', 'd', 'b'].map((key) => doorkeeper.admits(key))).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
    ])
  })

  test('what came long ago is forgotten', () => {
    const doorkeeper = new Doorkeeper(3)
    doorkeeper.admits('a')
    for (let n = 0; n < 6; n++) doorkeeper.admits(`other:${n}`)
    expect(doorkeeper.admits('a')).toBe(false)
  })
})
