import { openDatabase, openReadModel, readContent, WORKER_OPTIONS } from '@lockstep/api'
import { loadConfig, type ConfigTable } from '@lockstep/runtime'
import { assertRedis } from '../adapters/redis-check.ts'
import { COMMANDS } from '../commands.ts'
import { environment } from '../environment.ts'
import { fail } from '../errors.ts'
import type { Command } from '../help.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of `lockstep shop-rebuild`. */
export const SHOP_REBUILD_OPTIONS = {
  databaseUrl: WORKER_OPTIONS.databaseUrl,
  redisUrl: WORKER_OPTIONS.redisUrl,
  namespace: WORKER_OPTIONS.namespace,
} as const satisfies ConfigTable

// Counting a million sales takes seconds; a statement that takes minutes is stuck.
const STATEMENT_TIMEOUT_MS = 120_000
const REDIS_TIMEOUT_MS = 10_000

/** `lockstep shop-rebuild`: the read model anew; workers go on where the new one begins. */
export const command: Command = {
  async run(argv) {
    if (answersQuestion('shop-rebuild [options]', COMMANDS['shop-rebuild'].summary, SHOP_REBUILD_OPTIONS, argv)) return
    const config = loadConfig(SHOP_REBUILD_OPTIONS, {
      env: environment,
      argv: argv.filter((word) => word !== '--check'),
    })
    if (argv.includes('--check')) return
    const { databaseUrl, redisUrl: url, namespace } = config
    await assertRedis(url, namespace)
    const database = openDatabase({ databaseUrl, maxConnections: 1, statementTimeoutMs: STATEMENT_TIMEOUT_MS })
    const model = openReadModel({ url, namespace, commandTimeoutMs: REDIS_TIMEOUT_MS, failed: () => undefined })
    try {
      await model.ready()
      if (!(await model.rebuild(() => readContent(database)))) throw fail('LOCKSTEP_CLI_REBUILDING')
      const counts = await model.categoryCounts()
      process.stdout.write(`built anew: ${Object.keys(counts ?? {}).length} categories\n`)
    } finally {
      model.close()
      await database.close()
    }
  },
}
