import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { afterEach, expect, test } from 'vitest'
import { giveWay } from './give-way.ts'

const hasAutogroup = existsSync('/proc/self/autogroup')
const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { detached: true, stdio: 'ignore' })
afterEach(() => child.kill('SIGKILL'))

test.runIf(hasAutogroup)(
  'a process in a session of its own gives way to those of other sessions, not only of its own',
  () => {
    const pid = child.pid ?? 0
    giveWay(pid)
    expect(getPriority(pid)).toBe(10)
    expect(readFileSync(`/proc/${pid}/autogroup`, 'utf8')).toMatch(/ nice 10\n$/)
  },
)
