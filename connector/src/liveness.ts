import type { TimeSource } from '@lockstep/runtime'
import type { Lsn } from '@lockstep/schemas'
import { fail } from './errors.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { ReplicationStream } from './ports.ts'
import type { Session } from './session.ts'

/** Prefix of the logical messages that this room writes. */
export const MESSAGE_PREFIX = 'lockstep'

// Shorter than any reasonable alert, long enough to add nothing to a busy server's WAL.
const HEARTBEAT_MS = 10_000
// A walsender that is this far behind without being paused by us is stuck.
const HEARTBEAT_LIMIT_MS = 60_000
// Two heartbeats of the bus: only WAL that nobody flushes takes longer to come through.
const PUSH_AFTER_MS = 100

export interface LivenessOptions {
  readonly session: Session
  /** Writes a transactional logical message. */
  readonly emit: (content: string) => Promise<void>
  readonly time: TimeSource
  readonly newId: () => string
  readonly metrics: ConnectorMetrics
  readonly onError: (error: unknown) => void
}

/**
 * Keeps an idle stream moving and proves that it moves: acknowledges on every beat, asks for keepalives while a
 * watermark waits for the stream, pushes WAL that nobody flushes, and checks that a message written comes back.
 */
export class Liveness {
  readonly #options: LivenessOptions
  #stream: ReplicationStream | undefined
  #sent: Lsn | undefined
  #unreachedSinceMs: number | undefined
  #awaited: { readonly id: string; readonly sinceMs: number } | undefined
  #lastProofMs: number
  #isEmitting = false

  constructor(options: LivenessOptions) {
    this.#options = options
    this.#lastProofMs = options.time.nowMs()
  }

  attach(stream: ReplicationStream): void {
    this.#stream = stream
  }

  /** Call once per heartbeat. */
  beat(): void {
    const { session, time, metrics } = this.#options
    const now = time.nowMs()
    const isBehind = session.watermarks.unreached !== null
    const { confirmed } = session.transactions
    if (isBehind || confirmed !== this.#sent) {
      this.#stream?.confirm(confirmed, isBehind)
      this.#sent = confirmed
    }
    metrics.heartbeatAge.set(Math.min(session.silentMs, now - this.#lastProofMs) / 1000)
    this.#push(isBehind && !session.isPaused, now)
    this.#heartbeat(now)
  }

  /** Takes a logical message from the stream. */
  message(prefix: string, content: string): void {
    if (prefix !== MESSAGE_PREFIX || content !== this.#awaited?.id) return
    this.#awaited = undefined
    this.#lastProofMs = this.#options.time.nowMs()
  }

  #push(isBehind: boolean, now: number): void {
    if (!isBehind) this.#unreachedSinceMs = undefined
    else if (this.#unreachedSinceMs === undefined) this.#unreachedSinceMs = now
    else if (now - this.#unreachedSinceMs >= PUSH_AFTER_MS) {
      this.#unreachedSinceMs = now
      this.#emit('push')
    }
  }

  #heartbeat(now: number): void {
    const { session, newId, onError } = this.#options
    if (this.#awaited !== undefined) {
      const waitedMs = now - this.#awaited.sinceMs
      if (session.isPaused) this.#awaited = { ...this.#awaited, sinceMs: now }
      else if (waitedMs > HEARTBEAT_LIMIT_MS && session.silentMs > HEARTBEAT_LIMIT_MS)
        onError(fail('LOCKSTEP_CON_HEARTBEAT', { waitedMs: Math.round(waitedMs) }))
      return
    }
    if (Math.min(session.silentMs, now - this.#lastProofMs) < HEARTBEAT_MS || this.#isEmitting) return
    this.#awaited = { id: newId(), sinceMs: now }
    this.#emit(this.#awaited.id)
  }

  #emit(content: string): void {
    const { emit, onError } = this.#options
    if (this.#isEmitting) return
    this.#isEmitting = true
    emit(content).then(
      () => (this.#isEmitting = false),
      (error: unknown) => onError(error),
    )
  }
}
