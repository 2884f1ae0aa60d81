import type { Knowledge } from './knowledge.ts'
import type { BusMessage, BusReader } from './store.ts'
import type { CacheClock } from './types.ts'

/** What a tail needs. */
export interface TailOptions {
  readonly bus: BusReader
  readonly knowledge: Knowledge
  readonly clock: CacheClock
  /** Called after each entry took effect. */
  readonly applied: (message: BusMessage) => void
  readonly attached: (position: string) => void
  readonly flushed: (reason: string) => void
  readonly failed: (error: unknown, doing: string) => void
  /** Test-only: believes every entry to follow the one before. */
  readonly ignoreGaps?: boolean | undefined
}

/** Shorter than the contract by far, so that a stop is quick and a silent bus is noticed. */
const BLOCK_MS = 500
/** A bus with a living invalidator has an entry every 50 ms; after this silence `w` is asked whether it moved without us. */
const SILENCE_MS = 1_000
const RETRY_MS = 50

/**
 * Follows the bus. Each entry names its predecessor, so a trimmed, lost or rewritten bus cannot pass for a quiet one: at
 * the first entry that does not follow, everything local is forgotten and the tail begins anew. The same chain makes it
 * safe to read on after a lost connection.
 */
export class Tail {
  readonly #options: TailOptions
  #position: { id: string; nonce: string } | null = null
  #heardAt = 0
  #stopped = false
  #running: Promise<void> = Promise.resolve()

  constructor(options: TailOptions) {
    this.#options = options
  }

  /** Id of the last applied entry; null before the first attach. */
  get position(): string | null {
    return this.#position?.id ?? null
  }

  /** Tries to attach once, then goes on in the background. */
  async start(): Promise<void> {
    await this.#step()
    this.#running = this.#run()
  }

  /** Ends after the read in progress. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const didSucceed = await this.#step()
      if (!didSucceed && !this.#stopped) await this.#options.clock.sleep(RETRY_MS)
    }
  }

  async #step(): Promise<boolean> {
    try {
      return this.#position === null ? await this.#attach() : await this.#follow(this.#position)
    } catch (error) {
      if (!this.#stopped) this.#options.failed(error, 'reading the bus')
      return false
    }
  }

  async #attach(): Promise<boolean> {
    const attachment = await this.#options.bus.attach()
    if (!attachment) return false
    this.#options.knowledge.attach(attachment)
    this.#position = { id: attachment.id, nonce: attachment.nonce }
    this.#heardAt = this.#options.clock.now()
    this.#options.attached(attachment.id)
    return true
  }

  async #follow(position: { id: string; nonce: string }): Promise<boolean> {
    const messages = await this.#options.bus.read(position.id, BLOCK_MS)
    for (const message of messages) {
      if (!this.#accept(message)) return true
    }
    const now = this.#options.clock.now()
    if (messages.length > 0) this.#heardAt = now
    else if (now - this.#heardAt >= SILENCE_MS) await this.#askWhetherItMoved()
    return true
  }

  #accept(message: BusMessage): boolean {
    if (message.predecessor !== this.#position?.nonce && !this.#options.ignoreGaps) {
      this.lose(message.predecessor === '' ? 'a new generation began' : 'the bus has a gap')
      return false
    }
    this.#options.knowledge.apply(message)
    this.#position = { id: message.id, nonce: message.nonce }
    this.#options.applied(message)
    return true
  }

  /** Finds what no entry will ever tell: `w` gone, or a bus whose ids have begun again below ours. */
  async #askWhetherItMoved(): Promise<void> {
    this.#heardAt = this.#options.clock.now()
    const attachment = await this.#options.bus.attach()
    if (attachment?.nonce === this.#position?.nonce) return
    if (!attachment) return this.lose('Redis holds no watermark')
    const [next] = await this.#options.bus.read(this.#position?.id ?? '0-0', 1)
    if (next?.predecessor !== this.#position?.nonce) this.lose('the bus moved without this process')
  }

  /** Forgets everything local; the tail attaches again. */
  lose(reason: string): void {
    this.#options.knowledge.detach()
    this.#position = null
    this.#options.flushed(reason)
  }
}
