import { ServersError } from './errors.ts'
import type { ServerSource } from './config.ts'

/** What every started server offers. Stopping one that was given by environment does nothing. */
export interface RunningServer {
  readonly source: ServerSource
  /** The operating system's process; throws `LOCKSTEP_SRV_NOT_OURS` for a server that is not our own process. */
  readonly pid: number
  /** Ends it and removes its files; safe to repeat. */
  stop(): Promise<void>
  /** Ends it as a power cut would and waits until it and its children are gone; `restart` brings it back. */
  kill9(): Promise<void>
  /** Stops it if it runs, and starts it again on the same port with the same data. */
  restart(): Promise<void>
  /** The end of what it printed. */
  log(): string
}

/** Asks for a server that is a process of this machine: one to be killed, inspected, or reached by a socket file. */
export interface ServerNeeds {
  readonly needs?: 'process' | undefined
}

const notOurs = (what: string): ServersError =>
  new ServersError(
    'LOCKSTEP_SRV_NOT_OURS',
    `this ${what} is not a process of ours; start it with needs: 'process' to kill, restart or inspect it`,
  )

/** Wraps a server that somebody else runs: it can be used, not stopped. */
export function givenServer(what: string): RunningServer {
  return {
    source: 'env',
    get pid(): number {
      throw notOurs(what)
    },
    stop: () => Promise.resolve(),
    kill9: () => Promise.reject(notOurs(what)),
    restart: () => Promise.reject(notOurs(what)),
    log: () => '',
  }
}

/** Makes the error for asking a container's process number, which this machine may not even have. */
export const noPid = (what: string): ServersError => notOurs(what)

/** Adds what is known of one kind of server; a prototype keeps its getters lazy, of which `pid` may throw. */
export const extended = <Server extends object, More extends object>(server: Server, more: More): Server & More =>
  Object.assign(Object.create(server) as Server, more)
