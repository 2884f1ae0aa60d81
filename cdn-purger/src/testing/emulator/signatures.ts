import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Credentials } from '../../providers/profile.ts'

/** A request as an API received it; header names are lower-case. */
export interface ApiRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const sha256 = (text: string) => createHash('sha256').update(text)

function isSame(a: string, b: string): boolean {
  const [left, right] = [sha256(a).digest(), sha256(b).digest()]
  return timingSafeEqual(left, right)
}

/** Tells whether a header has exactly the value that a secret demands; never where the secret is empty. */
export const hasSecret = (given: string | undefined, secret: string): boolean =>
  given !== undefined && secret !== '' && isSame(given, secret)

/** Checks Akamai's EG1-HMAC-SHA256, written from its description rather than from the library that signs. */
export function isEdgeGrid(request: ApiRequest, { clientToken, clientSecret, accessToken }: Credentials): boolean {
  const { authorization = '', host = '' } = request.headers
  const parts =
    /^(EG1-HMAC-SHA256 client_token=([^;]+);access_token=([^;]+);timestamp=([^;]+);nonce=[^;]+;)signature=(.+)$/
  const [, unsigned = '', client, access, timestamp = '', signature = ''] = parts.exec(authorization) ?? []
  if (client === undefined || client !== clientToken || access !== accessToken || clientSecret === undefined)
    return false
  const bodyHash = sha256(request.body).digest('base64')
  const data = [request.method, 'https', host, request.path, '', bodyHash, unsigned].join('\t')
  const key = hmac(clientSecret, timestamp).toString('base64')
  return isSame(hmac(key, data).toString('base64'), signature)
}

/** Checks AWS Signature Version 4 over the headers that it names, written from its description. */
export function isSigV4(request: ApiRequest, { accessKeyId, secretAccessKey }: Credentials): boolean {
  const { authorization = '' } = request.headers
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]+)$/
  const [, keyId, date = '', region = '', service = '', signed = '', signature = ''] = parts.exec(authorization) ?? []
  if (keyId === undefined || keyId !== accessKeyId || secretAccessKey === undefined) return false
  const names = signed.split(';')
  const headers = names.map((name) => `${name}:${(request.headers[name] ?? '').trim()}\n`).join('')
  const payload = sha256(request.body).digest('hex')
  const canonical = [request.method, request.path, '', headers, signed, payload].join('\n')
  const scope = `${date}/${region}/${service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha256(canonical).digest('hex')].join('\n')
  const key = [date, region, service, 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`)
  return names.includes('host') && isSame(hmac(key, toSign).toString('hex'), signature)
}
