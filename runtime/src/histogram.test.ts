import { Histogram as PromHistogram, Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { BucketHistogram } from './histogram.ts'

const BOUNDS = [0.01, 0.1, 1]
const make = (labels: readonly string[] = ['route', 'status_class']) =>
  new BucketHistogram('a_seconds', 'Help.', BOUNDS, labels)

describe('runtime/histogram', () => {
  test('its text is that of prom-client', async () => {
    const registry = new Registry()
    const labelNames = ['route', 'status_class']
    const theirs = new PromHistogram({
      name: 'a_seconds',
      help: 'Help.',
      buckets: BOUNDS,
      labelNames,
      registers: [registry],
    })
    const ours = make()
    const observed = [
      [0.01, { route: '/a', status_class: '2xx' }],
      [0.0100001, { route: '/a', status_class: '2xx' }],
      [0.5, { route: '/"b\\\n', status_class: '5xx' }],
      [7, { route: '/a', status_class: '2xx' }],
    ] as const
    for (const [value, labels] of observed) {
      theirs.observe(labels, value)
      ours.observe(value, labels)
    }
    expect(ours.text().trim()).toBe((await registry.metrics()).trim())
  })

  test('labels resolved once count with those that are given each time', () => {
    const histogram = make(['route'])
    const observe = histogram.with({ route: '/a' })
    observe(0.5)
    histogram.observe(0.5, { route: '/a' })
    expect(histogram.text()).toContain('a_seconds_count{route="/a"} 2')
  })

  test('without labels it is there before anything was observed', () => {
    expect(make([]).text()).toContain('a_seconds_count 0')
  })

  test('what is not finite is not counted', () => {
    const histogram = make([])
    histogram.observe(Number.NaN)
    expect(histogram.text()).toContain('a_seconds_sum 0\na_seconds_count 0')
  })

  test('a label that was not declared is refused', () => {
    expect(() => make().with({ user: '7' })).toThrow(/no label user/)
  })
})
