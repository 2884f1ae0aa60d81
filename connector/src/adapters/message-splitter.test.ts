import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MessageSplitter } from './message-splitter.ts'

const message = fc.record({ type: fc.integer({ min: 1, max: 255 }), body: fc.uint8Array({ maxLength: 300 }) })

function encode({ type, body }: { readonly type: number; readonly body: Uint8Array }): Buffer {
  const head = Buffer.alloc(5)
  head[0] = type
  head.writeUInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

describe('connector/message-splitter', () => {
  test('however chunks tear the stream, every message arrives whole and in order', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 200, size: 'max' })
    fc.assert(
      fc.property(fc.array(message, { maxLength: 30, size: 'max' }), cuts, (messages, sizes) => {
        const seen: { type: number; body: Uint8Array }[] = []
        const splitter = new MessageSplitter((type, bytes, start, end) => {
          seen.push({ type, body: new Uint8Array(bytes.subarray(start, end)) })
        })
        const stream = Buffer.concat(messages.map(encode))
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const end = at + sizes[turn % sizes.length]!
          const chunk = Buffer.from(stream.subarray(at, end))
          splitter.push(chunk)
          // The socket's memory is its own again.
          chunk.fill(0xff)
          at = end
        }
        expect(seen).toEqual(messages)
      }),
    )
  })
})
