/** Creates the demo shop's tables and fills them when they are empty: the one-shot service `seed` of compose.yaml. */
import { API_OPTIONS, seedShop } from '@lockstep/api'
import { createLogger, exitCodeOf, loadConfig, type ConfigTable } from '@lockstep/runtime'

const SEED_OPTIONS = {
  databaseUrl: API_OPTIONS.databaseUrl,
} as const satisfies ConfigTable

const COUNTS = { products: 1_000, categories: 20 }

const log = createLogger({ service: 'seed' })
try {
  await seedShop(loadConfig(SEED_OPTIONS, { env: process.env }).databaseUrl, COUNTS)
  log.info(COUNTS, 'the shop is there')
} catch (error) {
  log.error({ err: error }, 'seeding failed')
  process.exitCode = exitCodeOf(error)
}
