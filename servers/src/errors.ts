/** How a failure of this room is handled, in the words of the runtime's error model. */
export type ServersDisposition = 'config' | 'fatal'

/** Documents every error code of this room: what an operator reads in `docs/errors.md`. */
export const SERVERS_ERRORS = {
  LOCKSTEP_SRV_NOT_FOUND: {
    disposition: 'config',
    summary: 'a server was neither given, nor found, nor installable',
    action:
      'Set the variable the message names, start Docker with the image it names, or install the package it names.',
  },
  LOCKSTEP_SRV_ORDER: {
    disposition: 'config',
    summary: 'LOCKSTEP_SERVERS names an unknown source',
    action: 'List some of env, docker, binary, package, separated by commas.',
  },
  LOCKSTEP_SRV_START: {
    disposition: 'fatal',
    summary: 'a server ended, or did not answer in time, while it started',
    action: 'Read the end of its log in the message.',
  },
  LOCKSTEP_SRV_NOT_OURS: {
    disposition: 'config',
    summary: 'a test asked to kill, restart or inspect a server that Lockstep did not start as a process',
    action: "Start it with needs: 'process', or unset the variable that points to the running server.",
  },
} as const satisfies Record<string, { disposition: ServersDisposition; summary: string; action: string }>

/** Names one row of {@link SERVERS_ERRORS}. */
export type ServersErrorCode = keyof typeof SERVERS_ERRORS

/** Says why a server could not be had. This room imports no other, so that every room's tests may import it. */
export class ServersError extends Error {
  override readonly name = 'ServersError'
  readonly code: ServersErrorCode
  readonly disposition: ServersDisposition

  constructor(code: ServersErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.disposition = SERVERS_ERRORS[code].disposition
  }
}
