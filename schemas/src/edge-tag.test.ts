import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeSurrogateKey } from './edge-tag.ts'
import { EVERYTHING, classTag } from './tag.ts'
import type { Tag } from './tag.ts'
import { tag } from './testing/arbitraries.ts'

const HASHED = /_h[a-z2-7]{13}$/
const encode = (text: string): string => encodeSurrogateKey(text as Tag)

/** Undoes an encoding that was not hashed: that it can be undone is why it is injective. */
function decode(key: string): string {
  const bytes = key.replaceAll('.', ':').match(/_[0-9a-f]{2}|[^_]/g) ?? []
  return Buffer.from(
    bytes.map((piece) => (piece[0] === '_' ? Number.parseInt(piece.slice(1), 16) : piece.charCodeAt(0))),
  ).toString()
}

describe('schemas/edge-tag', () => {
  test('every key is in the portable alphabet and at most 32 characters long', () => {
    fc.assert(
      fc.property(tag, (text) => {
        expect(encode(text)).toMatch(/^[a-z0-9._-]{1,32}$/)
      }),
      { numRuns: 2000 },
    )
  })

  test('different tags have different keys', () => {
    const few = fc.stringMatching(/^[a_.:A*h-]{1,4}$/)
    const pair = fc.oneof(fc.tuple(tag, tag), fc.tuple(few, few), fc.tuple(tag, few))
    fc.assert(
      fc.property(pair, ([a, b]) => {
        expect(encode(a) === encode(b)).toBe(a === b)
      }),
      { numRuns: 5000 },
    )
  })

  test('a key that is not hashed can be undone', () => {
    fc.assert(
      fc.property(
        tag.filter((text) => !HASHED.test(encode(text))),
        (text) => {
          expect(decode(encode(text))).toBe(text)
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('no tag is encoded as the key that a longer one is hashed to', () => {
    const hashed = encode(`product:${'x'.repeat(60)}`)
    expect(encode(hashed)).not.toBe(hashed)
    expect(encode(hashed.replaceAll('.', ':'))).not.toBe(hashed)
  })

  test('keys are readable and never change', () => {
    expect(encode('product:42')).toBe('product.42')
    expect(encode('Product:42')).toBe('_50roduct.42')
    expect(encode('a_b.c')).toBe('a_5fb_2ec')
    expect(encode('größe:1')).toBe('gr_c3_b6_c3_9fe.1')
    expect(encode(EVERYTHING)).toBe('_2a')
    expect(encode(classTag('product'))).toBe('product._2a')
    expect(encode('a'.repeat(32))).toBe('a'.repeat(32))
  })

  test('a long tag keeps a prefix of at most 17 characters, cut between characters', () => {
    expect(encode(`category:shoes-and-boots-for-children`)).toMatch(/^category\.shoes-an_h[a-z2-7]{13}$/)
    expect(encode(`categories:abcd_${'y'.repeat(40)}`)).toMatch(/^categories\.abcd_h[a-z2-7]{13}$/)
    // SHA-256 of the tag, first 65 bits, five at a time.
    expect(encode('a'.repeat(33))).toBe('aaaaaaaaaaaaaaaaa_hqutylsafy57hd')
  })
})
