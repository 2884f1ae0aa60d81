import { describe, expect, test } from 'vitest'
import { Batch } from './batch.ts'

describe('cache/batch', () => {
  test('reads of one turn are one question, each answered by its own key', async () => {
    const asked: (readonly string[])[] = []
    const batch = new Batch<string, string | null>(128, (keys) => {
      asked.push(keys)
      return Promise.resolve(keys.map((key) => (key === 'none' ? null : `value of ${key}`)))
    })
    expect(await Promise.all(['a', 'none', 'b'].map((key) => batch.ask(key)))).toEqual([
      'value of a',
      null,
      'value of b',
    ])
    expect(await batch.ask('c')).toBe('value of c')
    expect(asked).toEqual([['a', 'none', 'b'], ['c']])
  })

  test('what the callbacks of several sockets ask in one turn is one question', async () => {
    const asked: (readonly string[])[] = []
    const batch = new Batch<string, string>(128, (keys) => {
      asked.push(keys)
      return Promise.resolve(keys)
    })
    // As callbacks of sockets: what is left for the next tick runs between them.
    const answers = ['a', 'b', 'c'].map((key) => new Promise((resolve) => setImmediate(() => resolve(batch.ask(key)))))
    expect(await Promise.all(answers)).toEqual(['a', 'b', 'c'])
    expect(asked).toEqual([['a', 'b', 'c']])
  })

  test('a question is bounded, so that one reply stays short', async () => {
    const sizes: number[] = []
    const batch = new Batch<string, string | null>(128, (keys) => {
      sizes.push(keys.length)
      return Promise.resolve(keys)
    })
    const keys = Array.from({ length: 300 }, (_, n) => `k:${n}`)
    expect(await Promise.all(keys.map((key) => batch.ask(key)))).toEqual(keys)
    expect(sizes).toEqual([128, 128, 44])
  })

  test('a question that fails fails all its readers, and the next is asked', async () => {
    let isDown = true
    const batch = new Batch<string, string | null>(128, (keys) =>
      isDown ? Promise.reject(new Error('down')) : Promise.resolve(keys),
    )
    const results = await Promise.allSettled([batch.ask('a'), batch.ask('b')])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    isDown = false
    expect(await batch.ask('a')).toBe('a')
  })
})
