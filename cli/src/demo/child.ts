import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../environment.ts'
import { fail } from '../errors.ts'

const MAIN = fileURLToPath(new URL(`../main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url))

/** A process that runs one command of this program. */
export interface CommandProcess {
  readonly child: ChildProcess
  /** Rejects when the process ends unasked. */
  readonly closed: Promise<never>
  stop(): Promise<void>
}

/** Starts a command of this program in a process of its own; it ends with this one. */
export function startCommand(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): CommandProcess {
  const child = fork(MAIN, [name, ...args], {
    env: childEnvironment(env),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // A group of its own: Ctrl-C is this process's to handle.
    detached: true,
  })
  // Nobody may outlive the demo, however it ends.
  process.once('exit', () => child.kill('SIGKILL'))
  let isStopping = false
  const exited = once(child, 'exit')
  const closed = exited.then(([code]) => {
    if (isStopping) return new Promise<never>(() => undefined)
    throw fail('LOCKSTEP_CLI_CHILD_DIED', { name, code })
  })
  closed.catch(() => undefined)
  return {
    child,
    closed,
    async stop() {
      isStopping = true
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await exited
    },
  }
}
