import { describe, expect, test } from 'vitest'
import { outcome, SOUND } from './kills.ts'

// `LOCKSTEP_PURGER_KILLS=100` for the whole of it.
const KILLS = Number(process.env['LOCKSTEP_PURGER_KILLS'] ?? 20)

describe('a purger killed many times under a storm, at a provider that fails', () => {
  test(
    `after ${KILLS} kills every command is acknowledged or superseded, and no tag went back to an older change`,
    async () => {
      const found = await outcome(KILLS)
      expect(found).toMatchObject(SOUND)
      expect(found.commands).toBeGreaterThan(KILLS * 100)
    },
    60_000 + KILLS * 4_000,
  )
})
