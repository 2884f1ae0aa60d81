import { describe, expect, test } from 'vitest'
import { linear, logarithmic, plotOf } from './load-plot.ts'
import type { Second } from './open-loop.ts'

const second = (good: number, p50: number, p99: number): Second => ({
  offered: good + 1,
  good,
  refused: 1,
  bad: 0,
  goodMs: { p50, p99 },
})

describe('bench/load-plot', () => {
  test('a linear scale ends at a round number, a logarithmic one at powers of ten', () => {
    expect(linear([0, 430]).ticks).toEqual([0, 250, 500])
    expect(linear([]).ticks).toEqual([0, 0.5, 1])
    expect(logarithmic([0.4, 130]).ticks).toEqual([0.1, 1, 10, 100, 1000])
    expect(logarithmic([10]).at(10)).toBe(1)
  })

  test('every second is a point of each line, and one without answers interrupts those of latency', () => {
    const svg = plotOf([second(100, 1, 10), second(100, 2, 20), second(0, NaN, NaN), second(100, 1, 10)], 'a load')
    const lines = [...svg.matchAll(/points="([^"]*)"/g)].map(([, points = '']) => points.split(' ').length)
    expect(lines).toEqual([2, 1, 2, 1, 4, 4, 4, 4])
    expect(svg).not.toContain('NaN')
  })

  test('the higher of two values lies higher', () => {
    const svg = plotOf([second(10, 1, 100)], 'a load')
    const [p50 = 0, p99 = 0] = [...svg.matchAll(/points="[\d.]+,([\d.]+)"/g)].map(([, y]) => Number(y))
    expect(p99).toBeLessThan(p50)
  })
})
