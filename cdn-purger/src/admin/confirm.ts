import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { TimeSource } from '@lockstep/runtime'

/** Long enough to read the figures of a dry run, short enough that they still hold. */
const VALID_MS = 10 * 60_000
// The range may end now, so the selection grows a little while somebody reads.
const GROWTH = 1.1
const GROWTH_KEYS = 100

/** What a confirm token stands for. */
export interface Confirmed {
  readonly actor: string
  /** The request without its token, in any form that is equal for equal requests. */
  readonly request: string
  readonly keys: number
}

/** Makes and checks the tokens that a dry run hands out. Nothing is stored: the token is its own proof. */
export class ConfirmTokens {
  readonly #secret: string
  readonly #time: TimeSource

  constructor(secret: string, time: TimeSource) {
    this.#secret = secret
    this.#time = time
  }

  issue(confirmed: Confirmed): { readonly token: string; readonly expiresMs: number } {
    const expiresMs = Math.floor(this.#time.wallMs()) + VALID_MS
    const head = `${expiresMs}.${confirmed.keys}`
    return { token: `${head}.${this.#sign(head, confirmed)}`, expiresMs }
  }

  /** Tells whether `token` was made for this request by the same caller, is still valid, and for about as many keys. */
  accepts(token: string, confirmed: Confirmed): boolean {
    const [expires = '', keys = '', mac = ''] = token.split('.')
    const expected = Buffer.from(this.#sign(`${expires}.${keys}`, confirmed))
    const given = Buffer.from(mac)
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return false
    return Number(expires) > this.#time.wallMs() && confirmed.keys <= Number(keys) * GROWTH + GROWTH_KEYS
  }

  #sign(head: string, { actor, request }: Confirmed): string {
    return createHmac('sha256', this.#secret)
      .update(JSON.stringify([head, actor, request]))
      .digest('base64url')
  }
}

/** The hash of anything that has a JSON form; equal for objects with equal fields in any order. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex')
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`
}
