import { createHmac } from 'node:crypto'
import { SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { createJwtSessions, type JwtSessionOptions } from '../adapters/jwt-sessions.ts'
import { hashPassword, isPassword } from './password.ts'

const SECRET = 'a-secret-of-the-tests-of-32-bytes'
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const anna = { subject: 'anna', role: 'customer' } as const

function sessionsOf(options: Partial<JwtSessionOptions> = {}) {
  let now = Date.parse('2026-11-21T12:00:00Z')
  const defaults = { secret: SECRET, namespace: 'shop', lifeSeconds: 3_600, now: () => new Date(now) }
  return {
    sessions: createJwtSessions({ ...defaults, ...options }),
    pass: (seconds: number) => void (now += seconds * 1_000),
  }
}

describe('api/sessions', () => {
  test('a session is what was signed, in any replica with the secret, until it ends', async () => {
    const { sessions, pass } = sessionsOf()
    const { token, expiresInSeconds } = await sessions.issue(anna)
    expect(expiresInSeconds).toBe(3_600)
    expect(await sessions.verify(token)).toEqual(anna)
    expect(await sessionsOf().sessions.verify(token)).toEqual(anna)
    pass(3_599)
    expect(await sessions.verify(token)).toEqual(anna)
    pass(10)
    expect(await sessions.verify(token)).toBeNull()
  })

  test('a secret is changed without logging anybody out, and the one before that is forgotten', async () => {
    const { token } = await sessionsOf().sessions.issue(anna)
    const next = 'another-secret-of-the-tests-of-32'
    expect(await sessionsOf({ secret: next, previousSecret: SECRET }).sessions.verify(token)).toEqual(anna)
    expect(await sessionsOf({ secret: next }).sessions.verify(token)).toBeNull()
  })

  describe('a forged token is none', () => {
    const { sessions } = sessionsOf()
    const key = (secret = SECRET) => new TextEncoder().encode(secret)
    const base = (alg = 'HS256') =>
      new SignJWT({ role: 'admin' })
        .setProtectedHeader({ alg, typ: 'JWT' })
        .setSubject('anna')
        .setIssuer('shop')
        .setAudience('shop-shop')
    const sign = (jwt: SignJWT, secret = SECRET) =>
      jwt.setExpirationTime(new Date('2026-11-21T13:00:00Z')).sign(key(secret))
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const unsigned = { alg: 'none', typ: 'JWT' }
    const claims = { sub: 'anna', role: 'admin', iss: 'shop', aud: 'shop-shop', exp: 9_999_999_999 }
    const signed = (...parts: unknown[]) => {
      const text = parts.map(encode).join('.')
      return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`
    }

    test('the base of these cases is a valid one', async () => {
      expect(await sessions.verify(await sign(base()))).toEqual({ subject: 'anna', role: 'admin' })
    })
    test.each<[string, () => Promise<string> | string]>([
      ['another secret', () => sign(base(), 'not-the-secret-of-the-tests-32-by')],
      ['another issuer', () => sign(base().setIssuer('other'))],
      ['another audience', () => sign(base().setAudience('other'))],
      [
        'an unknown role',
        () =>
          sign(
            new SignJWT({ role: 'root' })
              .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
              .setSubject('a')
              .setIssuer('shop')
              .setAudience('shop-shop'),
          ),
      ],
      ['another algorithm', () => sign(base('HS512'))],
      ['no signature', () => `${encode(unsigned)}.${encode(claims)}.`],
      [
        'another text of the same signature',
        async () => {
          const token = await sign(base())
          // The last letter of 43 has two bits that no byte takes.
          const last = LETTERS.indexOf(token.at(-1) ?? '')
          return token.slice(0, -1) + LETTERS.charAt(last ^ 1)
        },
      ],
      ['a fourth part', async () => `${await sign(base())}.more`],
      ['claims that are no object', () => signed({ alg: 'HS256', typ: 'JWT' }, 'admin')],
      ['another header, signed as ours', () => signed(unsigned, claims)],
      ['no end', () => base().sign(key())],
      ['no token', () => 'anna'],
      ['nothing', () => ''],
    ])('%s', async (_what, make) => {
      expect(await sessions.verify(await make())).toBeNull()
    })
    test('one letter of the payload is changed', async () => {
      const [head = '', payload = '', signature = ''] = (await sessions.issue(anna)).token.split('.')
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
      expect(await sessions.verify([head, encode({ ...claims, role: 'admin' }), signature].join('.'))).toBeNull()
    })
  })

  test('a password is known by its hash, in whatever form its letters come; nobody has none', async () => {
    const hash = await hashPassword('caf\u00e9-au-lait')
    expect(hash).not.toContain('lait')
    expect(await isPassword('cafe\u0301-au-lait', hash)).toBe(true)
    expect(await isPassword('cafe-au-lait', hash)).toBe(false)
    expect(await isPassword('', null)).toBe(false)
    expect(await isPassword('anything', null)).toBe(false)
  })
})
