import { spawn, type ChildProcess } from 'node:child_process'
import { ServersError } from './errors.ts'
import { childrenOf, isRunning, signalProcess } from './processes.ts'
import { guard } from './reaper.ts'
import { pollUntil } from './wait.ts'

/** Says how to run a server in the foreground. */
export interface ServerCommand {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv | undefined
  readonly owner?: { uid: number; gid: number } | undefined
  /** Ends it and its children when this process is gone. */
  readonly reapSignal: 'TERM' | 'QUIT' | 'KILL'
}

/** Enough for the reason of a failed start, small enough to keep for every server. */
const LOG_CHARS = 64 * 1024
const LOG_TAIL_CHARS = 2000
const START_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 15_000

/** Runs one server; never keeps this process alive, and never outlives it. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #command: ServerCommand
  readonly #exited: Promise<void>
  #hasExited = false
  #log = ''

  constructor(command: ServerCommand) {
    this.#command = command
    // A session of its own: Ctrl-C in the terminal reaches only us, and we stop servers after their clients.
    this.#child = spawn(command.file, command.args, {
      cwd: command.cwd,
      env: { ...process.env, ...command.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...command.owner,
    })
    const pid = this.#child.pid
    const release = pid === undefined ? () => {} : guard({ kind: 'process', pid, signal: command.reapSignal })
    this.#exited = new Promise((resolve) => {
      const ended = (why: string) => {
        this.#append(`\n[${command.name} ${why}]`)
        this.#hasExited = true
        release()
        resolve()
      }
      this.#child.once('error', (error) => ended(`could not be run: ${error.message}`))
      this.#child.once('exit', (code, signal) => ended(`ended with ${signal ?? `code ${code}`}`))
    })
    this.#listen()
  }

  #listen(): void {
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#append(text))
      if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') stream.unref()
    }
    this.#child.unref()
  }

  #append(text: string): void {
    this.#log = (this.#log + text).slice(-LOG_CHARS)
  }

  /** The operating system's number of the server itself; there is no wrapper around it. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isRunning(): boolean {
    return !this.#hasExited
  }

  /** The end of what the server printed. */
  get log(): string {
    return this.#log
  }

  /** Waits until `probe` says yes; throws `LOCKSTEP_SRV_START` with the log's end when it ended or took over 60 s. */
  async ready(probe: () => boolean | Promise<boolean>): Promise<void> {
    const isReady = await pollUntil(async () => this.#hasExited || (await probe()), START_DEADLINE_MS)
    if (isReady && !this.#hasExited) return
    await this.kill9()
    const reason = isReady ? 'ended while it started' : `did not answer within ${START_DEADLINE_MS} ms`
    throw new ServersError(
      'LOCKSTEP_SRV_START',
      `${this.#command.name} ${reason}; its last words:\n${this.#log.slice(-LOG_TAIL_CHARS)}`,
    )
  }

  /** Asks it to end with `signal` and waits; ends it by force when it has not within 15 s. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#hasExited) return
    this.#child.ref()
    this.#child.kill(signal)
    if (!(await pollUntil(() => this.#hasExited, STOP_DEADLINE_MS))) await this.kill9()
    await this.#exited
  }

  /** Kills it and every child of it with SIGKILL, as a power cut would; resolves when all are gone. */
  async kill9(): Promise<void> {
    if (this.#hasExited) return
    this.#child.ref()
    // Stopped first, so that it cannot start another child between the listing and its end.
    signalProcess(this.pid, 'SIGSTOP')
    const children = childrenOf(this.pid)
    this.#child.kill('SIGKILL')
    for (const child of children) signalProcess(child, 'SIGKILL')
    await this.#exited
    await pollUntil(() => !children.some(isRunning), STOP_DEADLINE_MS)
  }
}
