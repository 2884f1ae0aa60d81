import { describe, expect, test } from 'vitest'
import { outcome, SOUND } from './kills.ts'

const KILLS = 4

describe('a purger killed again and again under a storm, at a provider that fails', () => {
  test('after 4 kills every command is acknowledged or superseded, and no tag went back to an older change', async () => {
    const found = await outcome(KILLS)
    expect(found).toMatchObject(SOUND)
    expect(found.commands).toBeGreaterThan(KILLS * 100)
  })
})
