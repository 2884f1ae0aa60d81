import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

/** A part of a request as its schema allows it, or the first fault: the part, the place in it, what was expected there. */
export type Checked = { readonly value: unknown } | { readonly fault: string }

/** Parts whose values arrive as text. */
const ADDRESS_PARTS: ReadonlySet<string> = new Set(['params', 'query', 'querystring'])

// Canonical: `01`, `1.0`, `1e3` and `0x1` would give one thing several addresses, each cached on its own.
const CANONICAL_INTEGER = /^(?:0|[1-9]\d{0,15})$/

const NONE: ReadonlySet<string> = new Set()

function integersOf(schema: TSchema): ReadonlySet<string> {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  return new Set(Object.keys(properties).filter((name) => properties[name]?.type === 'integer'))
}

// Inherits nothing, so `__proto__` is a name like any other, and unknown. What `Object.create(null)` makes is five times
// as slow to fill and check.
function Bare(this: Record<string, unknown>): void {}
Bare.prototype = Object.freeze(Object.create(null))

/** Turns the text of integer parameters into numbers; anything else stays text and fails the check. */
function numbersOf(integers: ReadonlySet<string>, data: unknown): unknown {
  const numbers = new (Bare as unknown as new () => Record<string, unknown>)()
  for (const name of Object.keys(data ?? {})) {
    const text = (data as Record<string, unknown>)[name]
    const isNumber = integers.has(name) && typeof text === 'string' && CANONICAL_INTEGER.test(text)
    numbers[name] = isNumber ? Number(text) : text
  }
  return numbers
}

function isEmpty(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false
  for (const _name in data) return false
  return true
}

/**
 * Compiles the check of one part of a request. Nothing is coerced but integers in addresses: coercion would make a price of
 * `null` zero. Unknown properties fail where the schema says so, because what a cache key leaves out must not reach a handler.
 */
export function compileRequestCheck(part: string, schema: TSchema): (data: unknown) => Checked {
  const validator = Compile(schema)
  // Known once: this runs for every request.
  const integers = ADDRESS_PARTS.has(part) ? integersOf(schema) : NONE
  const isNothingFine = ADDRESS_PARTS.has(part) && validator.Check({})
  return (data) => {
    // Most requests have no query.
    if (isNothingFine && isEmpty(data)) return { value: data }
    const value = integers.size > 0 ? numbersOf(integers, data) : data
    if (validator.Check(value)) return { value }
    const [fault] = validator.Errors(value)
    return { fault: `${part}${fault?.instancePath ?? ''} ${fault?.message ?? 'is not acceptable'}` }
  }
}
