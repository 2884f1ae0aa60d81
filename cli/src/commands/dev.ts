import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  SHARED_OPTIONS,
  createMetrics,
  Lifecycle,
  loadConfig,
  maskUrl,
  startAdminServer,
  type ConfigOf,
  type ConfigTable,
} from '@lockstep/runtime'
import { newToken } from '@lockstep/cdn-purger'
import { assertSource } from '@lockstep/connector'
import { startRedis } from '@lockstep/servers'
import { Type } from 'typebox'
import { assertRedis } from '../adapters/redis-check.ts'
import { embeddedConnector, startPipeline, type Pipeline, type PurgerApiOptions } from '../embedded/pipeline.ts'
import { readRules } from '../embedded/rules-file.ts'
import { environment } from '../environment.ts'
import { COMMANDS } from '../commands.ts'
import type { Command } from '../help.ts'
import { createHumanLogger } from '../human-log.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of `lockstep dev`. */
export const DEV_OPTIONS = {
  databaseUrl: {
    env: 'LOCKSTEP_DATABASE_URL',
    type: Type.String({ pattern: '^postgres(ql)?://' }),
    secret: true,
    desc: 'Any Postgres >= 14 with wal_level=logical.',
  },
  rules: SHARED_OPTIONS.rulesFile,
  redisUrl: {
    env: 'LOCKSTEP_REDIS_URL',
    type: Type.String(),
    default: '',
    secret: true,
    desc: 'Redis >= 7, also redis+sentinel://HOST:PORT/MASTER or redis+cluster://HOST:PORT; empty starts one for as long as this command runs.',
  },
  namespace: SHARED_OPTIONS.namespace,
  maxStalenessMs: {
    env: 'LOCKSTEP_MAX_STALENESS_MS',
    type: Type.Integer({ minimum: 100 }),
    default: 5_000,
    unit: 'ms',
    desc: 'Contract: the longest a purge waits for a process.',
  },
  reboundMs: {
    env: 'LOCKSTEP_REBOUND_MS',
    type: Type.Integer({ minimum: 50 }),
    default: 2_000,
    unit: 'ms',
    desc: 'Pause before the second purge.',
  },
  tiers: {
    env: 'LOCKSTEP_PURGER_TIERS',
    type: Type.String(),
    default: '',
    desc: 'Edge tiers from the origin outward (varnish+URL or fastly+URL, `;` between tiers); empty for none.',
  },
  edgeToken: {
    env: 'LOCKSTEP_EDGE_TOKEN',
    type: Type.String(),
    default: '',
    secret: true,
    desc: 'Token that the edge expects with a purge.',
  },
  journalUrl: {
    env: 'LOCKSTEP_PURGER_JOURNAL_URL',
    type: Type.String({ pattern: '^$|^postgres(ql)?://|^sqlite:.+' }),
    default: '',
    secret: true,
    desc: 'Where purges are journaled: sqlite:FILE or postgres://…; empty keeps them in a file for as long as this command runs.',
  },
  apiPort: {
    env: 'LOCKSTEP_PURGER_API_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9_413,
    desc: 'Port of the admin API (replays, purges, journal), where there are tiers; 0 takes any free one.',
  },
  apiTokens: {
    env: 'LOCKSTEP_PURGER_API_TOKENS',
    type: Type.Array(Type.String({ minLength: 1 })),
    default: [],
    secret: true,
    desc: 'Who may use the admin API (`lockstep purge --new-token NAME:ROLE`); empty makes a token for an admin and prints it.',
  },
  adminHost: {
    env: 'LOCKSTEP_ADMIN_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address of the admin API, and of /livez, /readyz, /statusz and /metrics.',
  },
  adminPort: {
    env: 'LOCKSTEP_ADMIN_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 9_400,
    desc: 'Port of /livez, /readyz, /statusz and /metrics; 0 takes any free one.',
  },
  unsafeNoGate: {
    env: 'LOCKSTEP_UNSAFE_NO_GATE',
    type: Type.Boolean(),
    default: false,
    desc: 'For tests: lets changes pass before they are visible, which is what the gate prevents.',
  },
} as const satisfies ConfigTable

/** `lockstep dev`: connector, invalidator and purger in one process, attached to any Postgres. */
export const command: Command = {
  async run(argv) {
    if (answersQuestion('dev --database-url URL --rules FILE', COMMANDS.dev.summary, DEV_OPTIONS, argv)) return
    const log = createHumanLogger()
    const lifecycle = new Lifecycle({ log })
    const stops: (() => Promise<void>)[] = []
    const ending = new AbortController()
    lifecycle.add({
      name: 'dev',
      async start() {
        const config = loadConfig(DEV_OPTIONS, { env: environment, argv: argv.filter((word) => word !== '--check') })
        const rules = await readRules(config.rules)
        if (config.redisUrl !== '') await assertRedis(config.redisUrl, config.namespace)
        await assertSource(embeddedConnector(config), { rules })
        if (argv.includes('--check')) return void lifecycle.stop()
        const metrics = createMetrics()
        let pipeline: Pipeline | undefined
        // The port first: when it is taken, nothing has been created anywhere.
        const admin = await startAdminServer({
          host: config.adminHost,
          port: config.adminPort,
          metrics,
          health: () => ({ ready: pipeline !== undefined && !lifecycle.draining }),
          status: () => pipeline?.status() ?? {},
          portOption: '--admin-port',
        })
        stops.push(() => admin.close())
        const redisUrl = config.redisUrl || (await startOwnRedis(stops))
        const api = config.tiers === '' ? null : await purgerApi(config, stops)
        const starting = startPipeline({
          ...config,
          redisUrl,
          rules,
          log,
          metrics,
          signal: ending.signal,
          purgerApi: api?.options,
        })
        // Also when it is still starting: what it has made by then is taken back.
        stops.push(async () => (await starting.catch(() => undefined))?.stop())
        pipeline = await starting
        pipeline.closed.catch((error: unknown) => lifecycle.fail(error))
        process.stdout.write(
          [
            `In step with ${maskUrl(config.databaseUrl)}`,
            `  Redis      ${maskUrl(redisUrl)}   namespace ${config.namespace}`,
            `  status     http://${config.adminHost}:${admin.port}/statusz`,
            ...(pipeline.apiPort === null ? [] : [`  admin API  http://${config.adminHost}:${pipeline.apiPort}`]),
            ...(api?.token
              ? [`  API token  ${api.token}   (LOCKSTEP_PURGER_API_TOKEN of lockstep journal, purge and replay)`]
              : []),
            '  Ctrl-C stops and takes back what was made; only the schema lockstep with the generation stays on the database.',
            '',
          ].join('\n'),
        )
      },
      async stop() {
        ending.abort()
        for (const stop of stops.splice(0).toReversed()) await stop()
      },
    })
    await lifecycle.run()
  },
}

/** The journal and its API, with a token of our own for an admin where nobody else is let in. */
async function purgerApi(
  { journalUrl, adminHost: host, apiPort: port, apiTokens }: ConfigOf<typeof DEV_OPTIONS>,
  stops: (() => Promise<void>)[],
): Promise<{ readonly options: PurgerApiOptions; readonly token: string | null }> {
  const own = apiTokens.length === 0 ? newToken({ name: 'dev', role: 'admin' }) : null
  const tokens = own ? [own.line] : apiTokens
  return {
    options: { journalUrl: journalUrl || (await ownJournal(stops)), host, port, tokens },
    token: own?.token ?? null,
  }
}

async function ownJournal(stops: (() => Promise<void>)[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'lockstep-dev-'))
  stops.push(() => rm(directory, { recursive: true, force: true }))
  return `sqlite:${join(directory, 'journal.db')}`
}

async function startOwnRedis(stops: (() => Promise<void>)[]): Promise<string> {
  const redis = await startRedis({ needs: 'process' })
  stops.push(() => redis.stop())
  return redis.url
}
