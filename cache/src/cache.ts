import type { Cache, CacheOptions } from './types.ts'

export function createCache(_options: CacheOptions): Cache {
  throw new Error('being written')
}
