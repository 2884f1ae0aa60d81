import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Authenticator } from '../admin/auth.ts'
import { createOidcAuthenticator } from './oidc.ts'

const ISSUER = 'https://id.example'
const keys = await generateKeyPair('ES256', { extractable: true })
const others = await generateKeyPair('ES256')
const server = createServer((_request, response) => {
  void exportJWK(keys.publicKey).then((key) =>
    response.end(JSON.stringify({ keys: [{ ...key, kid: 'k', alg: 'ES256' }] })),
  )
})
let oidc: Authenticator
let url = ''

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  oidc = authenticator(url)
})
afterAll(() => void server.close())

const authenticator = (jwksUrl: string) =>
  createOidcAuthenticator({ issuer: ISSUER, audience: 'lockstep', jwksUrl, roleClaim: 'role', timeoutMs: 1_000 })

function token(
  claims: object = {},
  options: { key?: typeof keys.privateKey; issuer?: string; audience?: string; expires?: string } = {},
) {
  const { key = keys.privateKey, issuer = ISSUER, audience = 'lockstep', expires = '5m' } = options
  return new SignJWT({ role: 'operator', ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setSubject('ann')
    .setIssuer(issuer)
    .setAudience(audience)
    .setExpirationTime(expires)
    .sign(key)
}

describe('cdn-purger/admin oidc', () => {
  test('a signed token names its bearer, with the highest role of its claim', async () => {
    expect(await oidc.authenticate(await token())).toEqual({ name: 'ann', role: 'operator' })
    expect(await oidc.authenticate(await token({ role: ['viewer', 'admin', 'x'] }))).toEqual({
      name: 'ann',
      role: 'admin',
    })
  })

  test('a token of another key, issuer or audience, an old one, one without a role or a signature is nobody', async () => {
    const now = Math.floor(Date.now() / 1_000)
    const unsigned = new UnsecuredJWT({
      role: 'admin',
      sub: 'ann',
      iss: ISSUER,
      aud: 'lockstep',
      exp: now + 60,
    }).encode()
    const bad = [
      token({}, { key: others.privateKey }),
      token({}, { issuer: 'https://else.example' }),
      token({}, { audience: 'other' }),
      token({}, { expires: '-2m' }),
      token({ role: 'root' }),
      token({ role: undefined }),
    ]
    for (const text of [...(await Promise.all(bad)), unsigned, 'a.b.c', 'lkst_abc'])
      expect(await oidc.authenticate(text)).toBeNull()
  })

  test('an issuer that is away lets nobody in, and is no verdict', async () => {
    await expect(authenticator('http://127.0.0.1:1').authenticate(await token())).rejects.toMatchObject({
      code: 'LOCKSTEP_CDN_JOURNAL_AWAY',
    })
  })
})
