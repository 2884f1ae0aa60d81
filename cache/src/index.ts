export { Admission, type AdmissionOptions } from './admission.ts'
export { createCache } from './cache.ts'
export { CACHE_ERRORS, CacheError, type CacheErrorCode, type CacheErrorDisposition } from './errors.ts'
export {
  DEFAULT_SHORT_FENCE_MS,
  FENCES_PER_ADVANCE,
  MAX_LEASE_MS,
  type AdvanceBatch,
  type AdvanceReply,
  type FenceWriter,
  type OpenReply,
  type OpenRequest,
} from './fence-writer.ts'
export type { KeyMessage } from './key-events.ts'
export { CACHE_METRICS, prometheusText, type CacheMetric } from './metrics.ts'
export { createMemoryFenceWriter } from './memory/fence-writer.ts'
export { createMemoryServer, type MemoryServer } from './memory/server.ts'
export { createMemoryStore } from './memory/store.ts'
export { openRedis } from './redis/connection.ts'
export { createFenceWriter, type FenceWriterOptions } from './redis/fence-writer.ts'
export { type RedisStoreOptions } from './redis/store.ts'
export type { CacheStore } from './store.ts'
export { isBelowToken, signToken, verifyToken } from './token.ts'
export type * from './types.ts'
