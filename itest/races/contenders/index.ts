import type { Contender } from '../contender.ts'
import { asyncCacheDedupe } from './async-cache-dedupe.ts'
import { bentocache } from './bentocache.ts'
import { cacheable } from './cacheable.ts'
import { layeredLoader } from './layered-loader.ts'
import { lockstep } from './lockstep.ts'
import { lruCache } from './lru-cache.ts'

/** Every library under test, ours first. */
export const CONTENDERS: readonly Contender[] = [
  lockstep,
  bentocache,
  cacheable,
  layeredLoader,
  asyncCacheDedupe,
  lruCache,
]
