import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../cli/src/main.ts', import.meta.url))
const FLAGS = ['-C', 'lockstep-source', '--disable-warning=ExperimentalWarning']

// Compiled once for all the processes that tests start: a start takes 0.45 s instead of 0.75.
const COMPILE_CACHE = fileURLToPath(new URL('../node_modules/.cache/lockstep-node', import.meta.url))

// What a supervisor waits before it starts a process again.
const RESTART_MS = 200

/** A process of the test that can be killed and started again, with the same arguments. */
export class TestProcess {
  readonly name: string
  readonly #file: string
  readonly #args: readonly string[]
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | undefined
  #output = ''
  #isSupervised = false
  #restarts = 0

  constructor(name: string, file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.name = name
    this.#file = file
    this.#args = args
    this.#env = env
  }

  get child(): ChildProcess {
    if (!this.#child) throw new Error(`${this.name} was not started`)
    return this.#child
  }

  /** Standard output and error so far, over all starts. */
  get output(): string {
    return this.#output
  }

  start(): this {
    const child = fork(this.#file, this.#args, {
      execArgv: FLAGS,
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    child.stdout?.on('data', (chunk) => (this.#output += String(chunk)))
    child.stderr?.on('data', (chunk) => (this.#output += String(chunk)))
    const kill = () => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
    this.#child = child
    child.once('exit', () => {
      if (!this.#isSupervised || this.#child !== child) return
      this.#restarts += 1
      setTimeout(() => this.#isSupervised && this.start(), RESTART_MS)
    })
    return this
  }

  /** Starts it, and again whenever it ends, as a supervisor does. */
  supervise(): this {
    this.#isSupervised = true
    return this.start()
  }

  /** How often the supervisor had to start it again. */
  get restarts(): number {
    return this.#restarts
  }

  /** Kills the process; a supervised one comes back. */
  kill9(): void {
    this.child.kill('SIGKILL')
  }

  /** Waits until the output from `from` on holds `text`. @throws Error with the output when it does not. */
  async says(text: string, deadlineMs = 30_000, from = 0): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!this.#output.includes(text, from)) {
      if (performance.now() > deadline || (!this.#isSupervised && this.child.exitCode !== null))
        throw new Error(`${this.name} did not say "${text}" within ${deadlineMs} ms: ${this.#output.slice(-1500)}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.#isSupervised = false
    const child = this.#child
    if (!child) return null
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      child.kill(signal)
      await exited
    }
    return child.exitCode
  }
}

/** A command of `lockstep`, as a process. */
export function lockstep(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): TestProcess {
  return new TestProcess(command, PROGRAM, [command, ...args], env)
}
