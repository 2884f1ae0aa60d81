import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../../../cli/src/main.ts', import.meta.url))

/** Starts one command of `lockstep` in a process of its own; answers what stops it. */
export function startLockstep(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): () => Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, PROGRAM, command, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exited = once(child, 'exit')
  process.once('exit', () => child.kill('SIGKILL'))
  return async () => {
    child.kill('SIGTERM')
    await exited
  }
}
