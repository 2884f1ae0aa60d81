import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeControl, encodeControl } from './control.ts'
import { UndecodableError } from './errors.ts'
import { controlMessage } from './testing/arbitraries.ts'

describe('schemas/control', () => {
  test('every message comes back as it was', () => {
    fc.assert(
      fc.property(controlMessage, (message) => {
        expect(decodeControl(encodeControl(message))).toEqual(message)
      }),
    )
  })

  test('a field added by a newer version is ignored', () => {
    const bytes = Buffer.from('{"kind":"echo","redisTimeUs":"12","added":1}')
    expect(decodeControl(bytes)).toEqual({ kind: 'echo', redisTimeUs: '12' })
  })

  test.each([
    '',
    'null',
    '[]',
    '{}',
    '{"kind":"echo"}',
    '{"kind":"echo","redisTimeUs":12}',
    '{"kind":"echo","redisTimeUs":"-1"}',
    '{"kind":"echo","redisTimeUs":""}',
    '{"kind":"new-generation","above":1,"reason":"r"}',
    '{"kind":"new-generation","above":-1,"reason":"r","edge":true}',
    '{"kind":"new-generation","above":4294967296,"reason":"r","edge":true}',
    '{"kind":"new-generation","above":"1","reason":"r","edge":true}',
    '{"kind":"new-generation","above":1,"reason":null,"edge":true}',
    '{"kind":"new-generation","above":1,"reason":"r","edge":1}',
    '{"kind":"stop"}',
  ])('%s is refused', (text) => {
    expect(() => decodeControl(Buffer.from(text))).toThrow(UndecodableError)
  })

  test('a message beyond 4 KiB is refused before it is parsed', () => {
    expect(() => decodeControl(Buffer.alloc(5000, '['))).toThrow(/4096/)
  })
})
