import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, chownSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { answersQueries } from './adapters/pg-probe.ts'
import { ServersError } from './errors.ts'
import { freePort } from './free-port.ts'
import { reachable, unprivilegedOwner, type PostgresBinaries } from './postgres-binaries.ts'
import { guard } from './reaper.ts'
import { ServerProcess } from './server-process.ts'
import { makeWorkDir, type WorkDir } from './work-dir.ts'

const run = promisify(execFile)

/** The superuser of every cluster made here. */
export const POSTGRES_USER = 'postgres'

/**
 * What every test server has: logical decoding with slots to spare, small memory, no disk waits. With fsync off a
 * killed *process* loses nothing (the kernel has the pages); only a killed *machine* would.
 */
export function serverSettings(fsync: boolean, extra: Readonly<Record<string, string>>): Record<string, string> {
  return {
    wal_level: 'logical',
    max_replication_slots: '20',
    max_wal_senders: '20',
    max_connections: '200',
    shared_buffers: '64MB',
    fsync: fsync ? 'on' : 'off',
    full_page_writes: fsync ? 'on' : 'off',
    ...extra,
  }
}

/** Turns settings into command-line arguments of `postgres`. */
export const settingArgs = (settings: Readonly<Record<string, string>>): string[] =>
  Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])

const settingLines = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    .join('')

/** Runs one cluster of its own on this machine. */
export class PostgresCluster {
  readonly port: number
  readonly password: string
  readonly major: number
  readonly #work: WorkDir
  readonly #binaries: PostgresBinaries
  readonly #owner: { uid: number; gid: number } | undefined
  readonly #settings: Readonly<Record<string, string>>
  #server: ServerProcess | undefined

  private constructor(binaries: PostgresBinaries, port: number, settings: Readonly<Record<string, string>>) {
    this.#owner = unprivilegedOwner()
    this.#binaries = this.#owner === undefined ? binaries : reachable(binaries)
    this.#work = makeWorkDir(`postgres${binaries.major}`, this.#owner)
    this.#settings = settings
    this.port = port
    this.major = binaries.major
    this.password = randomBytes(12).toString('hex')
  }

  /** Makes a cluster and starts it; throws `LOCKSTEP_SRV_START` with the reason. */
  static async create(
    binaries: PostgresBinaries,
    settings: Readonly<Record<string, string>>,
  ): Promise<PostgresCluster> {
    const cluster = new PostgresCluster(binaries, await freePort(), settings)
    try {
      await cluster.#initialise()
      await cluster.start()
      return cluster
    } catch (error) {
      await cluster.destroy()
      throw error
    }
  }

  get dataDir(): string {
    return join(this.#work.path, 'data')
  }

  get url(): string {
    return `postgres://${POSTGRES_USER}:${this.password}@127.0.0.1:${this.port}/postgres`
  }

  get pid(): number {
    return this.#server?.pid ?? 0
  }

  get log(): string {
    return this.#server?.log ?? ''
  }

  async #initialise(): Promise<void> {
    const passwordFile = join(this.#work.path, 'password')
    writeFileSync(passwordFile, this.password, { mode: 0o600 })
    if (this.#owner !== undefined) chownSync(passwordFile, this.#owner.uid, this.#owner.gid)
    const args = ['-D', this.dataDir, '-U', POSTGRES_USER, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
    const options = { cwd: this.#work.path, env: { ...process.env, HOME: this.#work.path }, ...this.#owner }
    const made = run(join(this.#binaries.binDir, 'initdb'), [...args, '--no-sync', '-E', 'UTF8', '--locale=C'], options)
    const pid = made.child.pid
    const release = pid === undefined ? undefined : guard({ kind: 'process', pid, signal: 'KILL' })
    try {
      await made
    } catch (error) {
      const output = (error as { stderr?: string }).stderr ?? String(error)
      throw new ServersError('LOCKSTEP_SRV_START', `initdb failed: ${output.slice(-2000)}`, error)
    } finally {
      release?.()
    }
    rmSync(passwordFile)
    // In the file and not on the command line, so that ALTER SYSTEM can change them as on any server.
    appendFileSync(join(this.dataDir, 'postgresql.conf'), settingLines(this.#settings))
  }

  /** Starts the server and waits until it answers a query; does nothing while it runs. */
  async start(): Promise<void> {
    if (this.#server?.isRunning === true) return
    const address = { listen_addresses: '127.0.0.1', unix_socket_directories: '' }
    const server = new ServerProcess({
      name: `postgres ${this.major}`,
      file: join(this.#binaries.binDir, 'postgres'),
      args: ['-D', this.dataDir, '-p', `${this.port}`, ...settingArgs(address)],
      cwd: this.#work.path,
      env: { HOME: this.#work.path },
      owner: this.#owner,
      reapSignal: 'QUIT',
    })
    this.#server = server
    await server.ready(() => answersQueries(this.url))
  }

  /** Stops the server: `fast` writes a checkpoint, `immediate` leaves recovery to the next start. */
  async end(mode: 'fast' | 'immediate'): Promise<void> {
    await this.#server?.end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
  }

  /** Kills the postmaster and all its children; resolves when none is left, so that a start finds no live server. */
  async kill9(): Promise<void> {
    await this.#server?.kill9()
  }

  /** Kills it and removes its files. */
  async destroy(): Promise<void> {
    await this.kill9()
    this.#work.remove()
  }
}
