import { describe, expect, test } from 'vitest'
import { selectionOf } from './purger-options.ts'

const NOTHING = { since: '', from: '', to: '', fromLsn: '', toLsn: '', prefix: '', class: '', batch: '' }
const NOW = Date.UTC(2026, 0, 1)

describe('cli/purger-options', () => {
  test('only what was given is asked for', () => {
    expect(selectionOf(NOTHING, NOW)).toEqual({})
    expect(selectionOf({ ...NOTHING, from: 'x', class: 'product' }, NOW)).toEqual({ from: 'x', class: 'product' })
  })

  test.for([
    ['90s', '2025-12-31T23:58:30.000Z'],
    ['30m', '2025-12-31T23:30:00.000Z'],
    ['2h', '2025-12-31T22:00:00.000Z'],
    ['1d', '2025-12-31T00:00:00.000Z'],
  ])('%s back is counted from now', ([since = '', from]) => {
    expect(selectionOf({ ...NOTHING, since }, NOW)).toEqual({ from })
  })
})
