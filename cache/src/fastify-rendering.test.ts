import { describe, expect, test } from 'vitest'
import { Renderings } from './fastify-rendering.ts'

describe('cache/fastify-rendering', () => {
  test('a value is serialised once, and an equal but other object again', () => {
    const renderings = new Renderings()
    let runs = 0
    const serialize = () => `run ${++runs}`
    const value = { id: 1 }
    expect(renderings.of(value, serialize).body).toBe('run 1')
    expect(renderings.of(value, serialize).body).toBe('run 1')
    expect(renderings.of({ id: 1 }, serialize).body).toBe('run 2')
  })

  test('one object that is the value of several keys is tagged as each of them', () => {
    const rendering = new Renderings().of({}, () => '{}')
    expect(rendering.surrogateKeys(['product:1'])).toBe('product.1 product._2a _2a')
    expect(rendering.surrogateKeys(['product:2'])).toBe('product.2 product._2a _2a')
    expect(rendering.surrogateKeys(['product:1', 'a:1'])).toBe('product.1 a.1 product._2a a._2a _2a')
  })

  test('what is not asked for while two generations come is forgotten; what is asked for stays', () => {
    const renderings = new Renderings()
    let runs = 0
    const hot = {}
    const cold = {}
    const render = (value: object) => renderings.of(value, () => `${++runs}`).body
    const [first, second] = [render(hot), render(cold)]
    for (let index = 0; index < 2_500; index++) {
      render({})
      expect(render(hot)).toBe(first)
    }
    expect(render(cold)).not.toBe(second)
  })

  test('large bodies fill a generation by their length', () => {
    const renderings = new Renderings()
    let runs = 0
    const first = {}
    const render = (value: object) => renderings.of(value, () => `${++runs}`.padEnd(3 * 1024 * 1024)).body
    const before = render(first)
    for (let index = 0; index < 4; index++) render({})
    expect(render(first)).not.toBe(before)
  })
})
