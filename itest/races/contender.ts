import type { UnsafeSwitches } from '@lockstep/cache'

/** Where one cache under test finds everything. */
export interface Surroundings {
  readonly host: string
  readonly port: number
  /** Prefix of every key and channel of one scenario. */
  readonly namespace: string
  /** Reads the row's version from the database. */
  readonly load: (id: string) => Promise<number>
  /** Tags of a row besides its own key; empty where the scenario has none. */
  readonly tagsOf: (id: string) => readonly string[]
  /** Protections of ours that are off; other libraries have none to switch. */
  readonly unsafe?: UnsafeSwitches | undefined
}

/** One process' cache. */
export interface CacheUnderTest {
  get(id: string): Promise<number>
  /** Resolves when the invalidation of these rows is done, as far as the caller can know. Unused where the log does it. */
  invalidate(ids: readonly string[]): Promise<void>
  /** Likewise for a tag; absent where the library has none. */
  invalidateTag?: ((tag: string) => Promise<void>) | undefined
  /** Resolves when this process has applied everything up to a mark of `Outside`. */
  applied?: ((mark: string) => Promise<void>) | undefined
  /** Reads a row and waits until the process and Redis have it; absent where `get` is answered no earlier. */
  fill?: ((id: string) => Promise<unknown>) | undefined
  close(): Promise<void>
}

/** One library, wired as its documentation recommends for several processes. */
export interface Contender {
  readonly name: string
  readonly hasTags: boolean
  /** Whether values are shared by processes at all. */
  readonly isShared: boolean
  /** Whether each process keeps values itself, in front of Redis. */
  readonly hasL1: boolean
  open(surroundings: Surroundings): Promise<CacheUnderTest>
  /** Starts what invalidates in the place of those who write; absent where they must do it themselves. */
  outside?: ((redisUrl: string, namespace: string) => Promise<Outside>) | undefined
}

/** Invalidation from the database's log: nobody who writes calls the cache. */
export interface Outside {
  /** Applies a change that was committed before; answers a mark for `CacheUnderTest.applied`. */
  invalidate(what: { readonly ids?: readonly string[]; readonly tag?: string }): Promise<string>
  /** Throws away what the bus still holds. */
  loseBus(): Promise<void>
  close(): Promise<void>
}

/** Long against every scenario: a stale value stays for as long as nobody removes it. */
export const TTL_MS = 600_000
