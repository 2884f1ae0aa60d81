import type { ApiStatus } from '@lockstep/api'
import type { Gathered } from './figures.ts'
import type { LoadReport } from './load.ts'
import type { RunningScene } from './scene.ts'

/** What a load reports that has not begun. */
export const NOTHING: LoadReport = {
  commits: 0,
  reads: 0,
  staleReads: 0,
  maxStalenessMs: 0,
  apiMaxStalenessMs: 0,
  edgeReads: 0,
  edgeHits: 0,
  errors: 0,
  writeErrors: 0,
  reconnects: 0,
  readMs: { p50: 0, p99: 0 },
  elapsedMs: 1,
  lastChanges: [],
}

/** Collects what every process of the demo has measured. */
export async function gather(scene: RunningScene, load: LoadReport | undefined): Promise<Gathered> {
  const statuses = await Promise.all(
    scene.apis.map(async ({ adminUrl }) => (await (await fetch(`${adminUrl}/statusz`)).json()) as ApiStatus),
  )
  const { invalidator, purger } = scene.pipeline.status()
  return {
    load: load ?? NOTHING,
    redis: { counts: invalidator.commitToRedisCounts, max: invalidator.commitToRedis.max },
    l1: statuses.map(({ commitToL1 }) => commitToL1),
    edge: { counts: purger?.commitToEdgeCounts ?? {}, max: purger?.commitToEdge.max ?? 0 },
    apis: statuses.map(({ cache }) => ({
      l1Hits: cache.l1Hit,
      reads: cache.l1Hit + cache.l2Hit + cache.miss + cache.bypass,
      loads: cache.loads,
      coalesced: cache.coalesced,
    })),
  }
}
