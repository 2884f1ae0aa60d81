import { describe, expect, test } from 'vitest'
import { classOf, classTag, isClassTag, parseTag } from './tag.ts'

describe('schemas/tag', () => {
  test('the class is what stands before the first colon, or the whole tag', () => {
    expect(classOf(parseTag('product:42:de'))).toBe('product')
    expect(classOf(parseTag('products'))).toBe('products')
    expect(classTag('product')).toBe('product:*')
    expect(isClassTag(classTag('product'))).toBe(true)
    expect(isClassTag(parseTag('product:42'))).toBe(false)
  })

  test.each([
    ['empty', ''],
    ['a control character', 'a:\n'],
    ['a delete character', 'a:\u007f'],
    ['a lone surrogate', 'a:\ud800'],
    ['no class', ':a'],
    ['513 bytes', 'ü'.repeat(256) + 'x'],
  ])('text with %s is no tag', (_, text) => {
    expect(() => parseTag(text)).toThrow(RangeError)
  })

  test('512 bytes are a tag', () => {
    expect(parseTag('ü'.repeat(256))).toHaveLength(256)
  })
})
