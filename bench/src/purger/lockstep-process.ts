import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../../../cli/src/main.ts', import.meta.url))

/** Starts one command of `lockstep` in a process of its own, by another command if need be; answers what stops it. */
export function startLockstep(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  runner: readonly string[] = [],
): () => Promise<void> {
  const [program = '', ...rest] = [...runner, process.execPath, ...process.execArgv, PROGRAM, command, ...args]
  const child = spawn(program, rest, {
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
