import type pg from 'pg'
import { LogicalReplicationService } from 'pg-logical-replication'
import { maxLsn, parseLsn, ZERO_LSN } from '@lockstep/schemas'
import type { Lsn } from '@lockstep/schemas'
import { LockstepError } from '@lockstep/runtime'
import { fail } from '../errors.ts'
import type { ReplicationStream, ServerIdentity, StreamHandler } from '../ports.ts'
import { classify, clientConfig, socketOf } from './client.ts'
import type { ClientOptions } from './client.ts'
import { readIdentity } from './identity.ts'
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
const STOP_DEADLINE_MS = 3_000

interface Connection {
  sendCopyFromChunk(chunk: Buffer): void
}

/** Starts the stream, with status messages and a parse that never throws into the socket handler. */
class PgoutputV1 {
  readonly name = 'pgoutput'
  // The library's AbstractPlugin is not exported; this is its shape.
  readonly options: StreamOptions
  readonly #take: (bytes: Buffer) => void
  readonly #ready: () => Promise<void>
  #client: pg.Client | undefined
  #timeoutMs = DEFAULT_TIMEOUT_MS

  constructor(options: StreamOptions, take: (bytes: Buffer) => void, ready: () => Promise<void>) {
    this.options = options
    this.#take = take
    this.#ready = ready
  }

  get client(): pg.Client | undefined {
    return this.#client
  }

  /** The server's wal_sender_timeout. */
  get timeoutMs(): number {
    return this.#timeoutMs
  }

  async start(client: pg.Client, slot: string): Promise<unknown> {
    const { expected, publication, isTemporary } = this.options
    this.#client = client
    const found = await readIdentity(client)
    if (found.systemId !== expected.systemId || found.timeline !== expected.timeline) {
      const text = ({ systemId, timeline }: ServerIdentity): string => `${systemId}, timeline ${timeline}`
      throw fail('LOCKSTEP_CON_OTHER_PRIMARY', { sql: text(expected), replication: text(found) })
    }
    const { rows } = await client.query<{ wal_sender_timeout: string }>('SHOW wal_sender_timeout')
    this.#timeoutMs = durationMs(rows[0]?.wal_sender_timeout ?? '') || DEFAULT_TIMEOUT_MS
    if (isTemporary) await client.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput', true)`)
    await this.#ready()
    // From 0/0 the server begins where the slot stands. Messages, because a heartbeat of ours must come back.
    return client.query(
      `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '"${publication}"', messages 'true')`,
    )
  }

  parse(buffer: Buffer): void {
    this.#take(buffer)
  }
}

/** Opens the stream where the slot stands. @throws LockstepError (transient) when the server refuses. */
export async function openStream(
  options: StreamOptions,
  ready: () => Promise<StreamHandler>,
): Promise<ReplicationStream> {
  const service = new LogicalReplicationService(clientConfig(options.client), {
    acknowledge: { auto: false, timeoutSeconds: 0 },
    flowControl: { enabled: false },
  })
  const stream = new PgStream(service, options, ready)
  await stream.open(options.slot)
  return stream
}

class PgStream implements ReplicationStream {
  readonly ended: Promise<Error>
  readonly #service: LogicalReplicationService
  readonly #plugin: PgoutputV1
  #handler: StreamHandler | undefined
  readonly #ackOffset: bigint
  readonly #end: (error: Error) => void
  #timer: NodeJS.Timeout | undefined
  #confirmed: Lsn = ZERO_LSN
  #lastInboundMs = performance.now()
  #isPaused = false
  #isOver = false
  #stopping: Promise<void> | undefined

  constructor(service: LogicalReplicationService, options: StreamOptions, ready: () => Promise<StreamHandler>) {
    const ended = Promise.withResolvers<Error>()
    this.ended = ended.promise
    this.#end = (error) => {
      this.#isOver = true
      ended.resolve(error)
    }
    this.#service = service
    this.#ackOffset = options.tuning?.unsafeAckOffset ?? 0n
    const take = (bytes: Buffer): void => this.#guard(() => this.#handler?.onMessage(bytes))
    this.#plugin = new PgoutputV1(options, take, async () => {
      this.#handler = await ready()
    })
  }

  async open(slot: string): Promise<void> {
    this.#service.on('error', (error) => this.#end(streamError(error)))
    this.#service.on('heartbeat', (lsn, _timestamp, shouldRespond) => this.#onKeepalive(lsn, shouldRespond))
    const started = new Promise<void>((resolve) => this.#service.on('start', () => resolve()))
    // Settles only at the end of the stream.
    this.#service.subscribe(this.#plugin, slot).then(
      () => this.#end(streamError(new Error('the server closed it'))),
      (error: unknown) => this.#end(streamError(error)),
    )
    const refused = await Promise.race([started, this.ended])
    if (refused !== undefined) {
      await this.stop()
      throw refused
    }
    this.#lastInboundMs = performance.now()
    // Half of the timeout leaves one message to lose. It asks for an answer: a server whose client reports regularly
    // never sends keepalives of its own, and silence could not be told from a dead peer.
    this.#timer = setInterval(() => this.#tick(), this.#plugin.timeoutMs / 2)
    this.#timer.unref()
  }

  confirm(lsn: Lsn, wantsReply: boolean): void {
    if (this.#isOver) return
    this.#confirmed = maxLsn(this.#confirmed, lsn)
    const connection = (this.#plugin.client as unknown as { connection?: Connection } | undefined)?.connection
    const reported = this.#confirmed === ZERO_LSN ? ZERO_LSN : ((this.#confirmed + this.#ackOffset) as Lsn)
    connection?.sendCopyFromChunk(statusMessage(reported, wantsReply, Date.now()))
  }

  setPaused(paused: boolean): void {
    this.#isPaused = paused
    this.#lastInboundMs = performance.now()
    const socket = this.#plugin.client === undefined ? undefined : socketOf(this.#plugin.client)
    if (paused) socket?.pause()
    else socket?.resume()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#close()
    return this.#stopping
  }

  async #close(): Promise<void> {
    this.#end(fail('LOCKSTEP_CON_STOPPED'))
    clearInterval(this.#timer)
    const { client } = this.#plugin
    const deadline = setTimeout(() => client && socketOf(client)?.destroy(), STOP_DEADLINE_MS)
    try {
      await this.#service.stop()
    } catch {
      // The connection was gone already.
    } finally {
      clearTimeout(deadline)
    }
  }

  /** Runs a handler; its error ends the stream instead of escaping into the socket's event handler. */
  #guard(handle: () => void): void {
    if (this.#isOver) return
    this.#lastInboundMs = performance.now()
    try {
      handle()
    } catch (error) {
      this.#end(streamError(error))
    }
  }

  #onKeepalive(lsn: string, shouldRespond: boolean): void {
    this.#guard(() => this.#handler?.onKeepalive(parseLsn(lsn)))
    if (shouldRespond) this.confirm(this.#confirmed, false)
  }

  #tick(): void {
    const silentMs = performance.now() - this.#lastInboundMs
    if (this.#isPaused) this.#lastInboundMs = performance.now()
    else if (silentMs > this.#plugin.timeoutMs * 2)
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
