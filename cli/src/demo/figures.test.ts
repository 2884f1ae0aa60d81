import { expect, test } from 'vitest'
import { figuresOf, type Gathered } from './figures.ts'

const gathered = (elapsedMs: number, commits: number, reads: number): Gathered => ({
  load: {
    commits,
    reads,
    staleReads: 0,
    maxStalenessMs: 0,
    apiMaxStalenessMs: 0,
    edgeReads: 0,
    edgeHits: 0,
    errors: 0,
    writeErrors: 0,
    reconnects: 0,
    readMs: { p50: 0, p99: 0 },
    elapsedMs,
    lastChanges: [],
  },
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
