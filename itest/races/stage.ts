import { randomUUID } from 'node:crypto'
import type { UnsafeSwitches } from '@lockstep/cache'
import { pollUntil } from '@lockstep/servers'
import type { CacheUnderTest, Contender, Outside } from './contender.ts'
import { Source } from './source.ts'
import { Wire } from './wire.ts'

/** One process of a scenario, and its connections. */
export interface Actor {
  readonly cache: CacheUnderTest
  readonly wire: Wire
}

const HEARD_WITHIN_MS = 5_000
/** Turns of the event loop in which a client hands a message that has arrived to whoever waits for it. */
const SETTLING_TURNS = 20

async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLING_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets the wall clock move on: libraries that order by it must not win or lose by two events in one millisecond. */
async function nextMillisecond(): Promise<void> {
  const before = Date.now()
  await pollUntil(() => Date.now() > before + 1, HEARD_WITHIN_MS)
}

/** Where a scenario runs. */
export interface StageOptions {
  readonly redis: { readonly url: string; readonly port: number }
  readonly unsafe?: UnsafeSwitches | undefined
}

/** A database, a Redis and the processes of one contender, under a namespace of their own. */
export class Stage {
  readonly source = new Source()
  readonly #contender: Contender
  readonly #options: StageOptions
  readonly #namespace = `races-${randomUUID().slice(0, 8)}`
  readonly #actors: Actor[] = []
  #outside: Outside | null = null

  constructor(contender: Contender, options: StageOptions) {
    this.#contender = contender
    this.#options = options
  }

  /** Starts a process; its rows carry these tags. */
  async actor(tags: readonly string[] = []): Promise<Actor> {
    const { redis, unsafe } = this.#options
    this.#outside ??= (await this.#contender.outside?.(redis.url, this.#namespace)) ?? null
    const wire = await Wire.open(redis.port)
    const cache = await this.#contender.open({
      host: '127.0.0.1',
      port: wire.port,
      namespace: this.#namespace,
      load: this.source.load,
      tagsOf: () => tags,
      unsafe,
    })
    const actor = { cache, wire }
    this.#actors.push(actor)
    if (this.#hasBus) await this.#listens(actor)
    return actor
  }

  /** Invalidates a row and waits until every process but `unheardBy` has taken note. */
  async invalidate(by: Actor, id: string, options: { readonly unheardBy?: Actor } = {}): Promise<void> {
    const hearing = this.#actors.filter((actor) => actor !== options.unheardBy)
    const heard = hearing.map(({ wire }) => wire.busBytes)
    const mark = await this.#outside?.invalidate({ ids: [id] })
    if (mark !== undefined) return this.#allApply(hearing, mark)
    await by.cache.invalidate([id])
    for (const [index, actor] of hearing.entries()) if (actor !== by) await this.hears(actor, heard[index] ?? 0)
    await nextMillisecond()
  }

  /** Likewise for a tag, in a scenario of one process. */
  async invalidateTag(by: Actor, tag: string): Promise<void> {
    const mark = await this.#outside?.invalidate({ tag })
    if (mark !== undefined) return this.#allApply(this.#actors, mark)
    await by.cache.invalidateTag?.(tag)
    await nextMillisecond()
  }

  /** Waits until a process has taken note of what the bus brought after the first `bytes`. */
  async hears(actor: Actor, bytes: number): Promise<void> {
    if (!this.#hasBus) return
    const hasHeard = await pollUntil(() => actor.wire.busBytes > bytes, HEARD_WITHIN_MS)
    if (!hasHeard) throw new Error(`${this.#contender.name}: nothing came over the bus`)
    await settle()
  }

  /** The bus forgets what a process that was cut off could still read there; pub/sub forgets by itself. */
  async loseBus(): Promise<void> {
    await this.#outside?.loseBus()
  }

  /** Waits until a process that was cut off listens again. */
  async isBack(actor: Actor, bytes: number): Promise<void> {
    await this.hears(actor, bytes)
    const mark = await this.#outside?.invalidate({ ids: ['another'] })
    if (mark !== undefined) await this.#allApply([actor], mark)
  }

  async close(): Promise<void> {
    for (const { wire } of this.#actors) wire.mendBus()
    await Promise.all(this.#actors.map(({ cache }) => cache.close().catch(() => undefined)))
    await Promise.all(this.#actors.map(({ wire }) => wire.close()))
    await this.#outside?.close()
  }

  get #hasBus(): boolean {
    return this.#contender.isShared && this.#contender.hasL1
  }

  async #allApply(actors: readonly Actor[], mark: string): Promise<void> {
    for (const { cache } of actors) await cache.applied?.(mark)
  }

  async #listens({ wire }: Actor): Promise<void> {
    const isListening = await pollUntil(() => wire.listeners > 0 && wire.busBytes > 0, HEARD_WITHIN_MS)
    if (!isListening) throw new Error(`${this.#contender.name} does not listen to its bus`)
    await settle()
  }
}
