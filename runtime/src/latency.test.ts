import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LatencyRecorder } from './latency.ts'

const durations = fc.array(fc.double({ min: 0.001, max: 600_000, noNaN: true }), {
  minLength: 1,
  maxLength: 300,
  size: 'max',
})

function recorderOf(values: readonly number[]): LatencyRecorder {
  const recorder = new LatencyRecorder()
  for (const value of values) recorder.record(value)
  return recorder
}

describe('runtime/latency', () => {
  test('every quantile lies within 3 % of the exact one', () => {
    fc.assert(
      fc.property(durations, fc.double({ min: 0.01, max: 1, noNaN: true }), (values, q) => {
        const exact = values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1] ?? 0
        expect(Math.abs(recorderOf(values).quantile(q) - exact) / exact).toBeLessThan(0.03)
      }),
    )
  })

  test('merging recorders equals recording everything in one', () => {
    fc.assert(
      fc.property(durations, durations, (left, right) => {
        const merged = recorderOf(left)
        const other = recorderOf(right)
        merged.merge(other.counts(), other.summary().max)
        expect(merged.summary()).toEqual(recorderOf([...left, ...right]).summary())
        expect(merged.counts()).toEqual(recorderOf([...left, ...right]).counts())
      }),
    )
  })

  test('counts survive JSON, so recorders of other processes can be merged', () => {
    const there = recorderOf([1, 2, 300])
    const here = new LatencyRecorder()
    here.merge(JSON.parse(JSON.stringify(there.counts())) as Record<string, number>, there.summary().max)
    expect(here.summary()).toEqual(there.summary())
  })

  test('an empty or reset recorder answers zeros', () => {
    const recorder = recorderOf([5])
    recorder.reset()
    expect(recorder.summary()).toEqual({ count: 0, p50: 0, p99: 0, p999: 0, max: 0 })
  })
})
