import { describe, expect, test } from 'vitest'
import { createMetrics, describeMetrics, noMetrics, type MetricsRegistry } from './metrics.ts'

function declareRoom(metrics: MetricsRegistry) {
  return {
    hits: metrics.counter('lockstep_cache_requests_total', 'Requests by outcome.', ['outcome']),
    lag: metrics.gauge('lockstep_slot_lag_bytes', 'Lag of the slot.'),
    evict: metrics.histogram('lockstep_evict_seconds', 'Commit to eviction.', [0.01, 1]),
  }
}

describe('runtime/metrics', () => {
  test('what is observed appears in the text with its help', async () => {
    const metrics = createMetrics()
    const { hits, lag, evict } = declareRoom(metrics)
    hits.inc({ outcome: 'hit' })
    hits.inc({ outcome: 'hit' }, 2)
    lag.set(17)
    evict.observe(0.5)
    const text = await metrics.text()
    expect(text).toContain('# HELP lockstep_cache_requests_total Requests by outcome.')
    expect(text).toContain('lockstep_cache_requests_total{outcome="hit"} 3')
    expect(text).toContain('lockstep_slot_lag_bytes 17')
    expect(text).toContain('lockstep_evict_seconds_bucket{le="0.01"} 0')
    expect(text).toContain('lockstep_evict_seconds_bucket{le="1"} 1')
    expect(text).toContain('process_cpu_seconds_total')
  })

  test('two services of one process share an instrument that both declare alike', async () => {
    const metrics = createMetrics()
    declareRoom(metrics).hits.inc({ outcome: 'miss' })
    declareRoom(metrics).hits.inc({ outcome: 'miss' })
    expect(await metrics.text()).toContain('lockstep_cache_requests_total{outcome="miss"} 2')
  })

  test.each([
    ['kind', (metrics: MetricsRegistry) => metrics.gauge('lockstep_x_total', 'Help.')],
    ['help', (metrics: MetricsRegistry) => metrics.counter('lockstep_x_total', 'Other help.')],
    ['labels', (metrics: MetricsRegistry) => metrics.counter('lockstep_x_total', 'Help.', ['table'])],
  ])('a second declaration with another %s is refused', (_what, declare) => {
    const metrics = createMetrics()
    metrics.counter('lockstep_x_total', 'Help.')
    expect(() => declare(metrics)).toThrow(expect.objectContaining({ code: 'LOCKSTEP_MET_CONFLICT' }))
  })

  test.each([
    ['requests_total', 'Help.'],
    ['lockstep_Requests', 'Help.'],
    ['lockstep_x_', 'Help.'],
    ['lockstep_x_total', ''],
  ])('the name %j with the help %j is refused', (name, help) => {
    expect(() => createMetrics().counter(name, help)).toThrow(expect.objectContaining({ code: 'LOCKSTEP_MET_NAME' }))
  })

  test('the reference lists every instrument of a room once', () => {
    const rows = describeMetrics((metrics) => [declareRoom(metrics), declareRoom(metrics)])
    expect(rows.map(({ name, kind }) => [name, kind])).toEqual([
      ['lockstep_cache_requests_total', 'counter'],
      ['lockstep_slot_lag_bytes', 'gauge'],
      ['lockstep_evict_seconds', 'histogram'],
    ])
  })

  test('the empty registry takes everything and tells nothing', async () => {
    declareRoom(noMetrics).hits.inc({ outcome: 'hit' })
    expect(await noMetrics.text()).toBe('')
  })
})
