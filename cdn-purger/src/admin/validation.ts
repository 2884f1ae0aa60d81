import { compileRequestCheck } from '@lockstep/runtime'
import type { TSchema } from 'typebox'
import { refuse } from './errors.ts'

/** Checks a part of a request against its schema, and answers it. @throws LOCKSTEP_CDN_BAD_REQUEST naming the first fault. */
export type Check = (data: unknown) => unknown

/** Compiles the check of one part. Nothing is coerced but numbers in addresses; nothing unknown is dropped. */
export function checkOf(part: 'params' | 'query' | 'body', schema: TSchema | undefined): Check {
  if (!schema) return (data) => refuseAny(part, data)
  const check = compileRequestCheck(part, schema)
  return (data) => {
    const checked = check(data)
    if ('fault' in checked) throw refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail: checked.fault })
    return checked.value
  }
}

function refuseAny(part: string, data: unknown): undefined {
  const isEmpty = data === undefined || data === null || Object.keys(data).length === 0
  if (!isEmpty) throw refuse('LOCKSTEP_CDN_BAD_REQUEST', { detail: `${part} is not expected` })
  return undefined
}
