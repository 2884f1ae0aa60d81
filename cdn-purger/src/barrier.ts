import type { Logger, TimeSource } from '@lockstep/runtime'
import { compareBusIds } from '@lockstep/schemas'
import type { Coalescer } from './coalescer.ts'
import type { AckView, ProcessAcks } from './ports.ts'
import type { Purge } from './purge.ts'

/** What the barrier needs. */
export interface BarrierDeps {
  readonly coalescer: Coalescer
  /** Null: no process caches anything, every command passes at once. */
  readonly acks: ProcessAcks | null
  readonly time: TimeSource
  readonly logger: Logger
  /** A process that has not acknowledged for so long serves nothing from its caches, so nobody waits for it. */
  readonly maxStalenessMs: number
  /** Longest pause between two readings while something waits; a hint ends it. */
  readonly pollMs: number
  /** Receives everything that one look at the acknowledgements released. */
  readonly onRelease: (purges: readonly Purge[]) => void
  readonly onTimeout: (count: number) => void
  /** Tells that nothing may be released yet, for a reason of the caller's. */
  readonly isHeld?: (() => boolean) | undefined
  /** Unsafe, for tests: purges before the processes have applied the change. */
  readonly unsafeSkip?: boolean | undefined
}

// One for all: an abort without a reason builds a DOMException with a stack.
const HINTED = new Error('a process has acknowledged')

type Applied =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'all' }
  | { readonly kind: 'upTo'; readonly busId: string }

/** Tells the position that every live process has applied; `all` when no process is alive. */
export function appliedByAll(view: AckView, maxStalenessMs: number): Applied {
  const live = view.acks.filter((ack) => view.nowMs - ack.atMs < maxStalenessMs)
  const first = live[0]
  if (!first) return { kind: 'all' }
  const busId = live.reduce((least, ack) => (compareBusIds(ack.busId, least) < 0 ? ack.busId : least), first.busId)
  return { kind: 'upTo', busId }
}

/**
 * Holds each command until no live process can still answer with the old value, or until none may, which is
 * `maxStalenessMs` after its fence. An edge purged earlier would be refilled with what it just dropped.
 */
export class Barrier {
  readonly #deps: BarrierDeps
  readonly #stopping = new AbortController()
  #polling: Promise<void> | null = null
  #hint = new AbortController()
  #isBlind = false

  constructor(deps: BarrierDeps) {
    this.#deps = deps
    deps.acks?.onHint(() => this.#hint.abort(HINTED))
  }

  /** Looks at once, then again and again while something waits. Call after adding to the coalescer. */
  wake(): void {
    this.#release({ kind: 'unknown' })
    if (this.#polling || this.#stopping.signal.aborted || this.#deps.coalescer.size === 0) return
    this.#polling = this.#poll().finally(() => {
      this.#polling = null
      if (this.#deps.coalescer.size > 0) this.wake()
    })
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#hint.abort(HINTED)
    await this.#polling
  }

  async #poll(): Promise<void> {
    const { coalescer, time, pollMs } = this.#deps
    const { signal } = this.#stopping
    while (coalescer.size > 0 && !signal.aborted) {
      // From here on: what is acknowledged during the look may be missing in it.
      const hint = (this.#hint = new AbortController())
      this.#release(await this.#look())
      if (coalescer.size > 0 && !signal.aborted) await time.sleep(pollMs, hint.signal).catch(() => undefined)
    }
  }

  async #look(): Promise<Applied> {
    const { acks, logger, maxStalenessMs } = this.#deps
    if (!acks) return { kind: 'all' }
    try {
      const view = await acks.read()
      if (this.#isBlind) logger.info({}, 'acknowledgements readable again')
      this.#isBlind = false
      return appliedByAll(view, maxStalenessMs)
    } catch (error) {
      if (!this.#isBlind) logger.warn({ error }, 'acknowledgements unreadable, purges wait for maxStaleness')
      this.#isBlind = true
      return { kind: 'unknown' }
    }
  }

  #release(applied: Applied): void {
    const { coalescer, acks, time, maxStalenessMs, unsafeSkip, onRelease, onTimeout } = this.#deps
    if (this.#deps.isHeld?.()) return
    const nowMs = time.nowMs()
    let timeouts = 0
    const released = coalescer.release(({ command, arrivedMs }) => {
      if (command.busId === '' || !acks || unsafeSkip || applied.kind === 'all') return true
      if (applied.kind === 'upTo' && compareBusIds(applied.busId, command.busId) >= 0) return true
      const isLate = nowMs - arrivedMs >= maxStalenessMs
      if (isLate) timeouts += 1
      return isLate
    })
    if (timeouts > 0) onTimeout(timeouts)
    if (released.length > 0) onRelease(released)
  }
}
