import type { CacheStats } from './types.ts'

/** The counters of `CacheStats`, without the sizes. */
export type Counters = {
  -readonly [
    K in Exclude<
      keyof CacheStats,
      'l1Entries' | 'l1Bytes' | 'mirrorFences' | 'loadsInFlight' | 'overloaded' | 'tailPosition' | 'tailAttached'
    >
  ]: CacheStats[K]
}

/** Creates counters at zero. */
export function createCounters(): Counters {
  return {
    l1Hit: 0,
    graced: 0,
    refreshes: 0,
    l2Hit: 0,
    miss: 0,
    loads: 0,
    loadFailed: 0,
    coalesced: 0,
    bypass: 0,
    stored: 0,
    rejected: 0,
    stale: 0,
    redisErrors: 0,
    evicted: 0,
    flushes: 0,
    attaches: 0,
  }
}
