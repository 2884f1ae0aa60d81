import { API_OPTIONS, seedShop, SHOP_SIZES } from '@lockstep/api'
import { loadConfig, maskUrl, type ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'
import { COMMANDS } from '../commands.ts'
import { environment } from '../environment.ts'
import type { Command } from '../help.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of `lockstep shop-seed`. */
export const SHOP_SEED_OPTIONS = {
  databaseUrl: API_OPTIONS.databaseUrl,
  size: {
    env: 'LOCKSTEP_SHOP_SIZE',
    type: Type.Union([Type.Literal('1k'), Type.Literal('100k'), Type.Literal('1m')]),
    default: '1k',
    desc: 'How many products: 1k, 100k or 1m; the same size always gives the same rows.',
  },
} as const satisfies ConfigTable

/** `lockstep shop-seed`: the demo shop's tables, filled unless they hold products. */
export const command: Command = {
  async run(argv) {
    if (answersQuestion('shop-seed --size 1k|100k|1m', COMMANDS['shop-seed'].summary, SHOP_SEED_OPTIONS, argv)) return
    const { databaseUrl, size } = loadConfig(SHOP_SEED_OPTIONS, {
      env: environment,
      argv: argv.filter((word) => word !== '--check'),
    })
    if (argv.includes('--check')) return
    const startedAt = performance.now()
    await seedShop(databaseUrl, SHOP_SIZES[size])
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    process.stdout.write(`${maskUrl(databaseUrl)} holds the shop of size ${size} (${seconds} s)\n`)
  },
}
