import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { reachable } from './postgres-binaries.ts'
import { isTraversable, sharedTmp } from './work-dir.ts'

/** No Postgres has this version, so the copy cannot be taken for a real one. */
const VERSION = `0.${process.pid}`
const copy = join(sharedTmp(), `lockstep-postgres-${VERSION}-${process.getuid?.() ?? 0}`)
const made: string[] = [copy]
afterEach(() => {
  for (const path of made) rmSync(path, { recursive: true, force: true })
})

function programsBelow(mode: number): { binDir: string; version: string; major: number } {
  const home = mkdtempSync(join(sharedTmp(), 'lockstep-home-'))
  made.push(home)
  const binDir = join(home, 'native', 'bin')
  mkdirSync(binDir, { recursive: true })
  writeFileSync(join(binDir, 'postgres'), '', { mode: 0o700 })
  chmodSync(home, mode)
  return { binDir, version: VERSION, major: 0 }
}

describe('servers/postgres-binaries', () => {
  test('programs that another user can reach are run where they are', () => {
    const programs = programsBelow(0o755)
    expect(reachable(programs)).toBe(programs)
    expect(existsSync(copy)).toBe(false)
  })

  test('programs below a private home are copied to where another user can run them, once', () => {
    const programs = programsBelow(0o700)
    expect(isTraversable(programs.binDir)).toBe(false)
    const { binDir } = reachable(programs)
    expect(isTraversable(binDir)).toBe(true)
    expect(statSync(join(binDir, 'postgres')).mode & 0o055).toBe(0o055)
    const { ino } = statSync(binDir)
    expect(statSync(reachable(programs).binDir).ino).toBe(ino)
  })

  test('a copy that is not a directory of ours is never run', () => {
    writeFileSync(copy, '')
    expect(() => reachable(programsBelow(0o700))).toThrow(/belongs to somebody else; remove it/)
  })
})
