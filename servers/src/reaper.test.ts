import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { isRunning, signalProcess } from './processes.ts'
import { pollUntil } from './wait.ts'

const source = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)

/** Starts a long-lived child through our own code and prints its pid and directory. */
const GUARDED = `
const { ServerProcess } = await import(${source('./server-process.ts')})
const { makeWorkDir } = await import(${source('./work-dir.ts')})
const work = makeWorkDir('reaped')
const child = new ServerProcess({ name: 'sleep', file: 'sleep', args: ['300'], cwd: work.path, reapSignal: 'TERM' })
console.log(JSON.stringify({ pid: child.pid, path: work.path }))
setInterval(() => {}, 1000)
`
/** Leaves a directory, large enough to take a while, in which somebody unknown to the watch still makes files. */
const WRITTEN_TO = `
const { spawn } = await import('node:child_process')
const { writeFileSync } = await import('node:fs')
const { makeWorkDir } = await import(${source('./work-dir.ts')})
const work = makeWorkDir('reaped')
for (let i = 0; i < 5000; i++) writeFileSync(work.path + '/old' + i, '')
const loop = 'i=0; while :; do : > $i; i=$((i+1)); done'
const child = spawn('timeout', ['1', 'sh', '-c', loop], { cwd: work.path, detached: true, stdio: 'ignore' })
console.log(JSON.stringify({ pid: child.pid, path: work.path }))
setInterval(() => {}, 1000)
`
/** The same without our code: what would happen if nobody cleared up. */
const PLAIN = `
const { spawn } = await import('node:child_process')
const child = spawn('sleep', ['300'], { detached: true, stdio: 'ignore' })
console.log(JSON.stringify({ pid: child.pid, path: '/' }))
setInterval(() => {}, 1000)
`

async function startParent(script: string) {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  const [line] = (await once(createInterface(parent.stdout), 'line')) as [string]
  return { parent, ...(JSON.parse(line) as { pid: number; path: string }) }
}

describe('servers/reaper', () => {
  test.concurrent.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
    'no process and no directory outlives a parent ended by %s',
    async (signal) => {
      const { parent, pid, path } = await startParent(GUARDED)
      expect(isRunning(pid) && existsSync(path)).toBe(true)
      // To the group, as a terminal does on Ctrl-C.
      process.kill(-(parent.pid ?? 0), signal)
      await once(parent, 'exit')
      expect(await pollUntil(() => !isRunning(pid) && !existsSync(path), 8000)).toBe(true)
    },
  )

  test('a directory goes although somebody still wrote into it when the parent ended', async () => {
    const { parent, pid, path } = await startParent(WRITTEN_TO)
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    const isGone = await pollUntil(() => !existsSync(path), 8000)
    signalProcess(pid, 'SIGKILL')
    expect(isGone).toBe(true)
  }, 15_000)

  test('without the watch the process lives on, so the law above can fail', async () => {
    const { parent, pid } = await startParent(PLAIN)
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    const isGone = await pollUntil(() => !isRunning(pid), 300)
    signalProcess(pid, 'SIGKILL')
    expect(isGone).toBe(false)
  })
})
