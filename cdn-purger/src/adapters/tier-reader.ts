import { request } from 'undici'
import type { TierAnswer } from '../admin/verify.ts'

/** Reads one URL as a reader would, without following anything; the body is thrown away. */
export async function readTier(url: string, signal: AbortSignal): Promise<TierAnswer> {
  const { statusCode: status, headers, body } = await request(url, { signal })
  await body.dump()
  const age = Number.parseInt(String(headers['age']), 10)
  const stamp = headers['lockstep-stamp']
  return { status, ageSeconds: Number.isNaN(age) ? null : age, stamp: typeof stamp === 'string' ? stamp : null }
}
