import { Compile } from 'typebox/compile'
import type { TSchema } from 'typebox'

/** What Fastify hands to a validator compiler, as far as it is used here. */
export interface RouteSchema {
  readonly schema: unknown
  readonly httpPart?: string | undefined
}

type Outcome = { readonly value: unknown } | { readonly error: Error }

// Canonical: `01`, `1.0`, `1e3` and `0x1` would give one thing several addresses, each cached on its own.
const CANONICAL_INTEGER = /^(?:0|[1-9]\d{0,15})$/

/** Turns the text of integer parameters into numbers; anything else stays text and fails the check. */
function numbersOf(schema: TSchema, data: unknown): unknown {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const entries = Object.entries((data ?? {}) as Record<string, unknown>).map(([name, text]) => {
    const isNumber = properties[name]?.type === 'integer' && typeof text === 'string' && CANONICAL_INTEGER.test(text)
    return [name, isNumber ? Number(text) : text] as const
  })
  return Object.fromEntries(entries)
}

/**
 * Compiles a route's schema for Fastify. Bodies are taken as they are: coercion would make a price of `null` zero. Unknown
 * properties fail instead of being removed, because what the cache key leaves out must not reach a handler.
 */
export function compileValidator({ schema, httpPart = 'body' }: RouteSchema): (data: unknown) => Outcome {
  const type = schema as TSchema
  const validator = Compile(type)
  const isText = httpPart === 'params' || httpPart === 'querystring'
  return (data) => {
    const value = isText ? numbersOf(type, data) : data
    if (validator.Check(value)) return { value }
    const [fault] = validator.Errors(value)
    return { error: new Error(`${httpPart}${fault?.instancePath ?? ''} ${fault?.message ?? 'is not acceptable'}`) }
  }
}
