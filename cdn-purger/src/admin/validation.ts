import { Compile } from 'typebox/compile'
import type { TSchema } from 'typebox'
import { refuse } from './errors.ts'

// Canonical, so that one page has one address.
const CANONICAL_INTEGER = /^(?:0|[1-9]\d{0,9})$/

/** Turns the text of integer parameters into numbers; anything else stays text and fails the check. */
function numbersOf(schema: TSchema, data: unknown): unknown {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const entries = Object.entries((data ?? {}) as Record<string, unknown>).map(([name, text]) => {
    const isNumber = properties[name]?.type === 'integer' && typeof text === 'string' && CANONICAL_INTEGER.test(text)
    return [name, isNumber ? Number(text) : text] as const
  })
  return Object.fromEntries(entries)
}

/** Checks a part of a request against its schema, and answers it. @throws LOCKSTEP_CDN_BAD_REQUEST naming the first fault. */
export type Check = (data: unknown) => unknown

/** Compiles the check of one part. Nothing is coerced but numbers in addresses; nothing unknown is dropped. */
export function checkOf(part: 'params' | 'query' | 'body', schema: TSchema | undefined): Check {
  if (!schema) return (data) => refuseAny(part, data)
  const validator = Compile(schema)
  return (data) => {
    const value = part === 'body' ? data : numbersOf(schema, data)
    if (validator.Check(value)) return value
    const [fault] = validator.Errors(value)
    const detail = `${part}${fault?.instancePath ?? ''} ${fault?.message ?? 'is not acceptable'}`
    throw refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail })
  }
}

function refuseAny(part: string, data: unknown): undefined {
  const isEmpty = data === undefined || data === null || Object.keys(data).length === 0
  if (!isEmpty) throw refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail: `${part} is not expected` })
  return undefined
}
