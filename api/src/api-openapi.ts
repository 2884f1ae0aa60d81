import { createCache } from '@lockstep/cache'
import { silentLogger } from '@lockstep/runtime'
import { buildApp, type AppOptions } from './app.ts'
import { modulesOf } from './compose-modules.ts'
import { defineEntries } from './entries.ts'
import { primaryOnly } from './replicas/read-source.ts'

/** Writes the OpenAPI document of the whole API. Routes only call what they are made of when they are called. */
export async function apiOpenApi(): Promise<object> {
  const cache = createCache({ redis: null })
  const nothing = {} as never
  const reads = { cache, source: primaryOnly(nothing), ttlMs: 1 }
  const tokens = { tokenSecret: '', edgeTtlSeconds: 1 }
  const options: AppOptions = {
    ...tokens,
    cache,
    shop: nothing,
    recent: nothing,
    entries: defineEntries(reads),
    modules: modulesOf({ ...tokens, cache, database: nothing, reads, log: nothing, model: nothing, degraded: nothing }),
    log: silentLogger,
    reboundMs: 1,
    trustProxy: false,
    maxEventLoopDelayMs: 0,
    maxEventLoopUtilization: 0,
    sessions: nothing,
    login: nothing,
  }
  const app = await buildApp(options)
  try {
    await app.ready()
    const response = await app.inject('/openapi.json')
    return response.json<object>()
  } finally {
    await app.close()
  }
}
