import { expect, test } from 'vitest'
import { figuresOf, type Gathered } from './figures.ts'
import { NOTHING } from './gather.ts'

const gathered = (elapsedMs: number, commits: number, reads: number): Gathered => ({
  load: { ...NOTHING, elapsedMs, commits, reads },
  redis: { counts: {}, max: 0 },
  l1: [],
  edge: { counts: {}, max: 0 },
  apis: [],
})

test('rates are those since the processes were warm, counts are those since the start', () => {
  const figures = figuresOf(gathered(24_000, 7_000, 64_000), gathered(4_000, 1_000, 4_000))
  expect(figures).toMatchObject({ seconds: 24, commits: 7_000, commitsPerSecond: 300, reads: 64_000 })
  expect(figures.readsPerSecond).toBe(3_000)
})

test('without that moment rates are those since the start', () => {
  expect(figuresOf(gathered(10_000, 3_000, 30_000))).toMatchObject({ commitsPerSecond: 300, readsPerSecond: 3_000 })
})
