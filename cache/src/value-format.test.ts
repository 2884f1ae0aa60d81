import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stampAt } from './testing/store-contract.ts'
import { decodeValue, encodeValue } from './value-format.ts'

describe('cache/value-format', () => {
  // What a tag may be: no control character, so neither tab nor line feed.
  const word = fc.string({ unit: 'grapheme' }).filter((text) => !/\p{Cc}/u.test(text))

  test('what was written is read back, whatever the tags and the body', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(word, word), { minLength: 1 }),
        fc.string(),
        fc.nat(),
        fc.nat(9),
        (pairs, body, expiresAtMs, n) => {
          const [tags, incarnations] = [pairs.map(([tag]) => tag), pairs.map(([, incarnation]) => incarnation)]
          const times = { expiresAtMs, loadedAtMs: expiresAtMs - 5, loadMs: 3 }
          const value = { stamp: stampAt(n), ...times, tags, incarnations, body }
          expect(decodeValue(encodeValue(value))).toEqual(value)
        },
      ),
    )
  })

  test('any other text is nothing, and never throws', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = decodeValue(text)
        expect(value === null || value.tags.length > 0).toBe(true)
      }),
    )
    for (const header of ['', 'x\t\t\ta\tb', '1\t\t', '1\t\t\ta', '{"x":1,"t":[["a","b"]]}']) {
      expect(decodeValue(`${stampAt(1)}${header}\nbody`)).toBeNull()
    }
  })
})
