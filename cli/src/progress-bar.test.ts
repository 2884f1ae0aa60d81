import { describe, expect, test } from 'vitest'
import { progressLine } from './progress-bar.ts'

describe('cli/progress-bar', () => {
  test('a line tells share, counts, pace and what is left at this pace', () => {
    expect(progressLine({ state: 'running', total: 200, done: 99, refused: 1 }, 50)).toBe(
      `${'█'.repeat(15)}${'░'.repeat(15)} 50 % 100/200, 1 refused 50/s, 2 s left running`,
    )
  })

  test('nothing to do is done, and an unknown pace is not guessed', () => {
    expect(progressLine({ state: 'completed', total: 0, done: 0, refused: 0 }, 0)).toBe(
      `${'█'.repeat(30)} 100 % 0/0 completed`,
    )
  })
})
