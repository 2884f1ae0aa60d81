import type { AdminDeps } from './deps.ts'
import type { AdminRoute } from './route.ts'
import { deadLetterRoutes } from './routes/dead-letters.ts'
import { journalRoutes } from './routes/journal.ts'
import { providerRoutes } from './routes/providers.ts'
import { purgeRoutes } from './routes/purges.ts'
import { replayRoutes } from './routes/replays.ts'

/** Every operation of the admin API. */
export function adminRoutes(deps: AdminDeps): AdminRoute[] {
  return [
    ...replayRoutes(deps),
    ...purgeRoutes(deps),
    ...journalRoutes(deps),
    ...deadLetterRoutes(deps),
    ...providerRoutes(deps),
  ]
}
