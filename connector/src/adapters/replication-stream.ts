import type { Socket } from 'node:net'
import pg from 'pg'
import { maxLsn, ZERO_LSN } from '@lockstep/schemas'
import type { Lsn } from '@lockstep/schemas'
import { LockstepError } from '@lockstep/runtime'
import { fail } from '../errors.ts'
import type { ReplicationStream, ServerIdentity, StreamHandler } from '../ports.ts'
import { classify, clientConfig, closeClient } from './client.ts'
import type { ClientOptions } from './client.ts'
import { readIdentity } from './identity.ts'
import { MESSAGE, serverError } from './messages.ts'
import { MessageSplitter } from './message-splitter.ts'
import { SocketPacer } from './socket-pacer.ts'
import { statusMessage } from './status-message.ts'

/** TEST ONLY: switches a protection off, so that a test can prove that it matters. */
export interface StreamTuning {
  /** Unsafe: acknowledges this much past the end of the last transaction. */
  readonly unsafeAckOffset?: bigint | undefined
}

export interface StreamOptions {
  readonly client: ClientOptions
  readonly slot: string
  readonly publication: string
  /** The slot is made on this connection and vanishes with it. */
  readonly isTemporary: boolean
  readonly expected: ServerIdentity
  readonly tuning?: StreamTuning | undefined
}

// Used when wal_sender_timeout is 0: then the server never gives up, but we still want to notice its death.
const DEFAULT_TIMEOUT_MS = 20_000
/** A process or a disk that stalls for half of the timeout must not cost the connection. */
const REPORTS_PER_TIMEOUT = 4
const XLOG_DATA = 0x77
const KEEPALIVE = 0x6b
// Kind 1, start 8, end 8, time 8.
const XLOG_HEAD_BYTES = 25

/** What pg does not declare of a client: its socket, and a way to send a query that it does not know of. */
interface Wire {
  readonly stream: Socket
  query(text: string): void
}

/** Opens the stream where the slot stands. @throws LockstepError (transient) when the server refuses. */
export async function openStream(
  options: StreamOptions,
  ready: () => Promise<StreamHandler>,
): Promise<ReplicationStream> {
  const client = new pg.Client({ ...clientConfig(options.client), replication: 'database' } as pg.ClientConfig)
  // Until the stream has begun a query reports a loss; later the socket does.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const timeoutMs = await prepare(client, options)
    const stream = new PgStream(client, { handler: await ready(), timeoutMs, tuning: options.tuning })
    await stream.begin(options)
    return stream
  } catch (error) {
    await closeClient(client)
    throw streamError(error)
  }
}

/** Makes sure that this is the expected server, and makes a temporary slot. Answers the server's wal_sender_timeout, ms. */
async function prepare(client: pg.Client, { expected, slot, isTemporary }: StreamOptions): Promise<number> {
  const found = await readIdentity(client)
  if (found.systemId !== expected.systemId || found.timeline !== expected.timeline) {
    const text = ({ systemId, timeline }: ServerIdentity): string => `${systemId}, timeline ${timeline}`
    throw fail('LOCKSTEP_CON_OTHER_PRIMARY', { sql: text(expected), replication: text(found) })
  }
  const { rows } = await client.query<{ wal_sender_timeout: string }>('SHOW wal_sender_timeout')
  if (isTemporary) await client.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput', true)`)
  return durationMs(rows[0]?.wal_sender_timeout ?? '') || DEFAULT_TIMEOUT_MS
}

interface PgStreamOptions {
  readonly handler: StreamHandler
  readonly timeoutMs: number
  readonly tuning: StreamTuning | undefined
}

/** Takes a client's socket over: from `begin` on no other reader sees its bytes. */
class PgStream implements ReplicationStream {
  readonly ended: Promise<Error>
  readonly #client: pg.Client
  readonly #wire: Wire
  readonly #pacer: SocketPacer
  readonly #options: PgStreamOptions
  readonly #end: (error: Error) => void
  readonly #started = Promise.withResolvers<void>()
  #timer: NodeJS.Timeout | undefined
  #confirmed: Lsn = ZERO_LSN
  #lastInboundMs = performance.now()
  #isPaused = false
  #isOver = false
  #stopping: Promise<void> | undefined

  constructor(client: pg.Client, options: PgStreamOptions) {
    const ended = Promise.withResolvers<Error>()
    this.ended = ended.promise
    this.#end = (error) => {
      this.#isOver = true
      ended.resolve(error)
    }
    this.#client = client
    this.#wire = (client as unknown as { connection: Wire }).connection
    this.#pacer = new SocketPacer(this.#wire.stream)
    this.#options = options
  }

  /** Resolves once the server streams. */
  async begin({ slot, publication }: StreamOptions): Promise<void> {
    const socket = this.#wire.stream
    const splitter = new MessageSplitter((type, bytes, start, end) => this.#take(type, bytes, start, end))
    // Nothing is on its way: every query before has been answered whole.
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => this.#read(splitter, chunk))
    this.#client.on('error', (error) => this.#end(streamError(error)))
    this.#client.on('end', () => this.#end(streamError(new Error('the server closed it'))))
    // From 0/0 the server begins where the slot stands. Messages, because a heartbeat of ours must come back.
    this.#wire.query(
      `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${publication}"', messages 'true')`,
    )
    const refused = await Promise.race([this.#started.promise, this.ended])
    if (refused !== undefined) throw refused
    // It asks for an answer: a server whose client reports regularly never sends keepalives of its own, and silence could
    // not be told from a dead peer.
    this.#timer = setInterval(() => this.#tick(), this.#options.timeoutMs / REPORTS_PER_TIMEOUT)
    this.#timer.unref()
  }

  confirm(lsn: Lsn, wantsReply: boolean): void {
    if (this.#isOver) return
    this.#confirmed = maxLsn(this.#confirmed, lsn)
    const offset = this.#options.tuning?.unsafeAckOffset ?? 0n
    const reported = this.#confirmed === ZERO_LSN ? ZERO_LSN : ((this.#confirmed + offset) as Lsn)
    this.#wire.stream.write(statusMessage(reported, wantsReply, Date.now()))
  }

  setPaused(paused: boolean): void {
    this.#isPaused = paused
    this.#lastInboundMs = performance.now()
    this.#pacer.setPaused(paused)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#close()
    return this.#stopping
  }

  async #close(): Promise<void> {
    this.#end(fail('LOCKSTEP_CON_STOPPED'))
    clearInterval(this.#timer)
    // A paused socket would not show that the server has closed it.
    this.#pacer.setPaused(false)
    await closeClient(this.#client)
  }

  /** An error ends the stream instead of escaping into the socket's event handler. */
  #read(splitter: MessageSplitter, chunk: Buffer): void {
    if (this.#isOver) return
    this.#lastInboundMs = performance.now()
    this.#pacer.received(chunk.length, this.#lastInboundMs)
    try {
      splitter.push(chunk)
    } catch (error) {
      this.#end(streamError(error))
    }
  }

  #take(type: number, bytes: Buffer, start: number, end: number): void {
    if (this.#isOver) return
    if (type === MESSAGE.copyData) {
      const { handler } = this.#options
      if (bytes[start] === XLOG_DATA) handler.onMessage(bytes, start + XLOG_HEAD_BYTES, end)
      else if (bytes[start] === KEEPALIVE) this.#keepalive(bytes, start)
    } else if (type === MESSAGE.copyBoth) {
      this.#started.resolve()
    } else if (type === MESSAGE.error) {
      this.#end(streamError(serverError(bytes.subarray(start, end))))
    } else if (type === MESSAGE.copyDone || type === MESSAGE.complete) {
      this.#end(streamError(new Error('the server ended it')))
    }
  }

  #keepalive(bytes: Buffer, start: number): void {
    this.#options.handler.onKeepalive(bytes.readBigUInt64BE(start + 1) as Lsn)
    // After the positions: walEnd 8, time 8.
    if (bytes[start + 17] === 1) this.confirm(this.#confirmed, false)
  }

  #tick(): void {
    const silentMs = performance.now() - this.#lastInboundMs
    if (this.#isPaused) this.#lastInboundMs = performance.now()
    else if (silentMs > this.#options.timeoutMs * 2)
      this.#end(fail('LOCKSTEP_CON_SILENT', { silentMs: Math.round(silentMs) }))
    this.confirm(this.#confirmed, true)
  }
}

/** Keeps our own errors and names what the server said otherwise. */
function streamError(error: unknown): Error {
  if (error instanceof LockstepError) return error
  const classified = classify(error)
  const reason = error instanceof Error ? error.message : String(error)
  return fail('LOCKSTEP_CON_STREAM', { reason }, classified)
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads what SHOW says of a duration, such as `1min`; 0 for anything else. */
function durationMs(text: string): number {
  const match = /^(\d+)(ms|s|min|h|d)?$/.exec(text)
  return match === null ? 0 : Number(match[1]) * (UNIT_MS[match[2] ?? 'ms'] ?? 1)
}
