import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stampAt } from './testing/store-contract.ts'
import { signToken, verifyToken } from './token.ts'

describe('cache/token', () => {
  test('a token gives back the stamp it was signed for', () => {
    fc.assert(
      fc.property(fc.nat(), fc.string({ minLength: 1 }), (n, secret) => {
        expect(verifyToken(signToken(stampAt(n), secret), secret)).toBe(stampAt(n))
      }),
    )
  })

  test('a token of another secret, of a changed stamp or of a changed signature is none', () => {
    const token = signToken(stampAt(7), 'secret')
    const [, mac] = token.split('.')
    expect(verifyToken(token, 'other')).toBeNull()
    expect(verifyToken(`${stampAt(8)}.${mac}`, 'secret')).toBeNull()
    for (let index = 0; index < token.length - 1; index++) {
      const changed = token.slice(0, index) + (token[index] === '0' ? '1' : '0') + token.slice(index + 1)
      expect(verifyToken(changed, 'secret')).toBeNull()
    }
  })

  test('text that is no token is none and never throws', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(verifyToken(text, 'secret')).toBeNull()
      }),
    )
    for (const text of ['', '.', '..', stampAt(1), `${signToken(stampAt(1), 'secret')}.x`]) {
      expect(verifyToken(text, 'secret')).toBeNull()
    }
  })
})
