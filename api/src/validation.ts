import { compileRequestCheck } from '@lockstep/runtime'
import type { TSchema } from 'typebox'

/** What Fastify hands to a validator compiler, as far as it is used here. */
export interface RouteSchema {
  readonly schema: unknown
  readonly httpPart?: string | undefined
}

type Outcome = { readonly value: unknown } | { readonly error: Error }

/** Compiles a route's schema for Fastify: bodies as they are, unknown properties refused, integers of an address as numbers. */
export function compileValidator({ schema, httpPart = 'body' }: RouteSchema): (data: unknown) => Outcome {
  const check = compileRequestCheck(httpPart, schema as TSchema)
  return (data) => {
    const checked = check(data)
    return 'fault' in checked ? { error: new Error(checked.fault) } : checked
  }
}
