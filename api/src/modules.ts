import type { Cache } from '@lockstep/cache'
import type { FastifyInstance } from 'fastify'
import type { Database, Sql } from './database.ts'
import type { DegradationLog } from './degradation-log.ts'
import type { CachedReads } from './entries.ts'
import type { TokenDeps } from './tokens.ts'

/** Adds the routes of one pattern to the application. */
export type ShopModule = (app: FastifyInstance) => void

/** What every pattern's routes are made of. */
export interface ModuleDeps extends TokenDeps {
  readonly cache: Cache
  readonly database: Database
  /** Reads through the cache, from a replica where one is fresh enough. */
  readonly reads: CachedReads<Sql>
  /** Takes what went wrong behind an answer. */
  readonly degraded: DegradationLog
}
