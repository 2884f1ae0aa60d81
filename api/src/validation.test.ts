import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import { compileValidator } from './validation.ts'

const schema = Type.Object(
  { n: Type.Optional(Type.Integer({ minimum: 0 })), s: Type.Optional(Type.String()) },
  { additionalProperties: false },
)

describe('api/validation', () => {
  test('integers of a query are numbers, everything else stays text', () => {
    const validate = compileValidator({ schema, httpPart: 'querystring' })
    expect(validate({ n: '7', s: '7' })).toEqual({ value: { n: 7, s: '7' } })
    expect(validate({})).toEqual({ value: {} })
  })

  test.each(['01', '+1', '1.0', '1e1', '0x1', ' 1', '1 ', '', '٣', '99999999999999999'])('%j is no integer', (n) => {
    expect(compileValidator({ schema, httpPart: 'params' })({ n })).toHaveProperty('error')
  })

  test('a body is taken as it is', () => {
    const validate = compileValidator({ schema, httpPart: 'body' })
    expect(validate({ n: 7 })).toEqual({ value: { n: 7 } })
    for (const n of ['7', null, true, [7]]) expect(validate({ n })).toHaveProperty('error')
  })

  test('a fault names its place, never the value', () => {
    const { error } = compileValidator({ schema, httpPart: 'body' })({ n: 'secret' }) as { error: Error }
    expect(error.message).toBe('body/n must be integer')
    expect(compileValidator({ schema, httpPart: 'body' })({ x: 1 })).toHaveProperty('error')
  })
})
