import { request } from 'undici'
import type { Endpoint, Signer } from '../providers/profile.ts'

// Of the machine, or of the pod under Workload Identity. It answers within ms or is not there.
const METADATA = 'http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token'
const TIMEOUT_MS = 2_000
// Tokens live for an hour; the server hands out the next one five minutes before.
const MARGIN_MS = 60_000

interface Held {
  readonly token: string
  readonly untilMs: number
}

const held = new WeakMap<Endpoint, Held>()

async function fromMetadata(endpoint: Endpoint): Promise<string> {
  const known = held.get(endpoint)
  if (known && performance.now() < known.untilMs) return known.token
  const { statusCode, body } = await request(METADATA, {
    headers: { 'metadata-flavor': 'Google' },
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  })
  const { access_token: token, expires_in: seconds } = (await body.json()) as {
    access_token?: string
    expires_in?: number
  }
  if (statusCode !== 200 || token === undefined || seconds === undefined)
    throw new Error(`the metadata server answers ${statusCode}`)
  held.set(endpoint, { token, untilMs: performance.now() + seconds * 1_000 - MARGIN_MS })
  return token
}

/** Adds the OAuth token of the configuration, or that of the machine's service account. */
export const signGoogle: Signer = async (call, endpoint) => {
  const configured = endpoint.credentials['token']
  const token = configured === undefined || configured === '' ? await fromMetadata(endpoint) : configured
  return { ...call, headers: { ...call.headers, authorization: `Bearer ${token}` } }
}
