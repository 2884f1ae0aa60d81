import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { guard } from '@lockstep/servers'
import { childEnvironment } from '../environment.ts'
import { fail } from '../errors.ts'

const MAIN = fileURLToPath(new URL(`../main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url))

// Enough for the line that says why it ended.
const LOG_CHARS = 8_192

/** The message of the last line that a process logged. */
function lastMessage(text: string): string {
  const line = text.trimEnd().split('\n').at(-1) ?? ''
  try {
    return (JSON.parse(line) as { msg: string }).msg
  } catch {
    return line || 'it said nothing'
  }
}

/** A process that runs one command of this program. */
export interface CommandProcess {
  readonly child: ChildProcess
  /** Rejects when the process ends unasked. */
  readonly closed: Promise<never>
  /** Asks it to end and waits. */
  stop(): Promise<void>
  /** From now on its end is wanted. */
  release(): void
}

/** Starts a command of this program in a process of its own; it ends with this one. */
export function startCommand(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): CommandProcess {
  const child = fork(MAIN, [name, ...args], {
    env: childEnvironment(env),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // A group of its own: Ctrl-C is this process's to handle.
    detached: true,
  })
  // Nobody may outlive the demo: at its exit they end at once, and the guard sees to the rest, also after kill -9.
  process.once('exit', () => child.kill('SIGKILL'))
  const exited = once(child, 'exit') as Promise<[code: number | null, signal: NodeJS.Signals | null]>
  if (child.pid !== undefined) void exited.finally(guard({ kind: 'process', pid: child.pid, signal: 'KILL' }))
  let last = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (last = (last + text).slice(-LOG_CHARS)))
  let isStopping = false
  const closed = exited.then(([code, signal]) => {
    if (isStopping) return new Promise<never>(() => undefined)
    throw fail('LOCKSTEP_CLI_CHILD_DIED', { name, how: signal ?? `code ${code}`, words: lastMessage(last) })
  })
  closed.catch(() => undefined)
  return {
    child,
    closed,
    release: () => void (isStopping = true),
    async stop() {
      isStopping = true
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await exited
    },
  }
}
