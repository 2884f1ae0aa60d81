import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ReadResult } from './types.ts'

/** How a whole route is cached. Durations in ms, as in `EntryDefinition`. */
export interface CachedRouteOptions {
  /** Class of the route's keys and tags; must be unique. */
  readonly name: string
  readonly ttlMs: number
  readonly graceMs?: number | undefined
  readonly maxStalenessMs?: number | undefined
  /** What answers differ by; the path with its query unless given. */
  key?(request: FastifyRequest): string
}

/** An answer as it is kept. */
export interface Page {
  readonly payload: unknown
  readonly tags: readonly string[]
}

/** Names a page. Hashed, because a URL may be longer than a tag and hold what a tag must not. */
export function pageKey(options: CachedRouteOptions, request: FastifyRequest): string {
  return `${options.name}:${hash('sha256', options.key?.(request) ?? request.url, 'base64url')}`
}

/** Makes a page of a payload and what was read for it; tells `asOf` the stamps, because a page is as old as its oldest part. */
export function pageOf(
  payload: unknown,
  results: readonly ReadResult<unknown>[],
  asOf: (stamp: ReadResult<unknown>['stamp']) => void,
): Page {
  for (const { stamp, stale } of results) asOf(stale ? null : stamp)
  return { payload: payload ?? null, tags: [...new Set(results.flatMap(({ tags }) => tags))] }
}
