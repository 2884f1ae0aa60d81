import type { EdgeProvider, PurgeLimits, PurgeReply } from '../ports.ts'
import type { EdgeRead, Page } from './test-origin.ts'

interface Kept {
  page: Page
  isFresh: boolean
}

/** One request that a fake edge received. */
export interface FakeRequest {
  readonly keys: readonly string[] | 'everything'
  readonly reply: PurgeReply['kind']
}

/**
 * An edge without sockets: reads are answered from what it keeps, purges by `answer`. It keeps the provider contract.
 */
export class FakeEdge implements EdgeProvider {
  readonly name: string
  readonly limits: PurgeLimits
  readonly requests: FakeRequest[] = []
  readonly #pages = new Map<string, Page>()
  readonly #kept = new Map<string, Kept>()
  readonly #isKnown: boolean
  #gate: Promise<void> = Promise.resolve()
  /** Decides each request's answer; undefined lets it through. */
  answer: (keys: readonly string[]) => PurgeReply | undefined = () => undefined

  constructor(options: { name?: string; limits?: Partial<PurgeLimits>; share?: FakeEdge } = {}) {
    this.name = options.name ?? 'fake'
    this.limits = { maxKeys: 200, maxBytes: 7_000, concurrency: 2, rates: [], ...options.limits }
    this.#isKnown = options.share === undefined
  }

  /** Creates a provider for this edge with credentials it does not accept. */
  withWrongToken(): EdgeProvider {
    return new FakeEdge({ share: this, limits: this.limits })
  }

  set(path: string, page: Page): void {
    this.#pages.set(path, page)
  }

  /** Stores a response from before: a fetch that was in flight and ends now. */
  keepStale(path: string, page: Page): void {
    this.#kept.set(path, { page, isFresh: true })
  }

  read(path: string): EdgeRead {
    const kept = this.#kept.get(path)
    if (kept?.isFresh) return { label: 'HIT', status: 200, body: kept.page.body }
    const page = this.#pages.get(path) ?? { body: 'none', status: 404 }
    const isCurrent = kept?.page.etag !== undefined && kept.page.etag === page.etag
    // A 304 renews what is kept, tags included.
    if (isCurrent) kept.isFresh = true
    // Time stands still here: a lifetime of a second is over at once.
    else this.#kept.set(path, { page, isFresh: page.freshness !== 'max-age=1' })
    return { label: isCurrent ? 'REVALIDATED' : 'MISS', status: page.status ?? 200, body: page.body }
  }

  /** Holds all answers back until `release`; the purge itself has happened by then. */
  hold(): { release(): void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gate = promise
    return { release: resolve }
  }

  /** Lets requests from now on through, while those held stay held. */
  ungate(): void {
    this.#gate = Promise.resolve()
  }

  async purge(keys: readonly string[], signal: AbortSignal): Promise<PurgeReply> {
    const isTooLarge = keys.length > this.limits.maxKeys
    return await this.#reply(keys, isTooLarge, signal)
  }

  async purgeAll(signal: AbortSignal): Promise<PurgeReply> {
    return await this.#reply('everything', false, signal)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async #reply(keys: readonly string[] | 'everything', isTooLarge: boolean, signal: AbortSignal): Promise<PurgeReply> {
    signal.throwIfAborted()
    const reply = this.#judge(keys, isTooLarge)
    this.requests.push({ keys, reply: reply.kind })
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([this.#gate, aborted])
    signal.throwIfAborted()
    return reply
  }

  #judge(keys: readonly string[] | 'everything', isTooLarge: boolean): PurgeReply {
    if (!this.#isKnown) return { kind: 'denied', detail: 'status 401' }
    if (isTooLarge) return { kind: 'refused', detail: 'status 400' }
    const decided = this.answer(keys === 'everything' ? [] : keys)
    if (decided) return decided
    const gone = [...this.#kept].filter(
      ([, { page }]) => keys === 'everything' || page.tags?.some((tag) => keys.includes(tag)),
    )
    for (const [path] of gone) this.#kept.delete(path)
    return { kind: 'purged', objects: gone.length }
  }
}
