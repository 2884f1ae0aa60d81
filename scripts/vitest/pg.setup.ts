// By path: the runner of global setups resolves packages without the condition that leads to our sources.
import { ServersError, startPostgres, type PostgresServer } from '../../servers/src/index.ts'
import type { TestProject } from 'vitest/node'

/** Postgres 15 is the oldest supported, but not every machine has it; its tests skip themselves on an empty URL. */
async function startOldest(): Promise<PostgresServer | undefined> {
  try {
    return await startPostgres({ major: 15 })
  } catch (error) {
    if (!(error instanceof ServersError) || error.code !== 'LOCKSTEP_SRV_NOT_FOUND') throw error
    process.stderr.write(`lockstep: tests on Postgres 15 are skipped: ${error.message}\n`)
    return undefined
  }
}

/** Finds or starts Postgres 18 and 15 for the `*.pg.test.ts` of every room; each test makes a database of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const newest = await startPostgres({ major: 18 })
  const oldest = await startOldest()
  project.provide('postgresUrl', newest.url)
  project.provide('postgres15Url', oldest?.url ?? '')
  return async () => {
    await Promise.all([newest.stop(), oldest?.stop()])
  }
}
