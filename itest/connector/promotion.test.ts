import { CONNECTOR_CONFIG, startConnector, type RunningConnector } from '@lockstep/connector'
import { createRecordingLog, type RecordingLog } from '@lockstep/connector/testing'
import { loadConfig, silentLogger } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { startPostgres, type PostgresServer } from '@lockstep/servers'
import type pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createItems } from './items.ts'
import { connect, MAJORS } from './rig.ts'
import { DEADLINE_MS, ITEM_RULES } from './scene.ts'
import { Address, caughtUp, promote, startStandby } from './standby.ts'

/** A primary with its standby, and a connector that reaches whichever has the address. */
interface Pair {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
  readonly address: Address
  readonly log: RecordingLog
  readonly connector: RunningConnector
  readonly client: pg.Client
}

async function open(major: 15 | 18, standbySettings: Readonly<Record<string, string>> = {}): Promise<Pair> {
  const primary = await startPostgres({ major, needs: 'process', settings: { wal_keep_size: '256MB' } })
  onTestFinished(() => primary.stop())
  const client = await connect(primary.url)
  await createItems(client)
  const standby = await startStandby(primary, major, standbySettings)
  onTestFinished(() => standby.stop())
  const address = await Address.of(primary)
  onTestFinished(() => address.close())
  const log = createRecordingLog()
  onTestFinished(() => log.close())
  const env = { LOCKSTEP_CONNECTOR_DATABASE_URL: address.url(primary.url), LOCKSTEP_CONNECTOR_HEARTBEAT_MS: '20' }
  const config = loadConfig(CONNECTOR_CONFIG, { env, argv: [] })
  const connector = await startConnector(config, { rules: ITEM_RULES, log, logger: silentLogger })
  onTestFinished(() => connector.stop())
  return { primary, standby, address, log, connector, client }
}

const has = (log: RecordingLog, id: number): boolean => log.changes().some(({ after }) => after['id'] === String(id))

/** The primary dies, its standby takes over; answers a connection to it. */
async function failOver({ primary, standby, address }: Pair): Promise<pg.Client> {
  await caughtUp(primary, standby, DEADLINE_MS)
  await primary.kill9()
  await promote(standby)
  address.moveTo(standby)
  return connect(standby.url)
}

describe.each(MAJORS)('itest/connector/promotion on PostgreSQL %s', (major) => {
  test('a promoted standby without the slot begins a generation far above the old one, and the stream goes on', async () => {
    const pair = await open(major)
    const { log, connector } = pair
    await pair.client.query('insert into items values (1, 0)')
    await waitFor(() => has(log, 1), DEADLINE_MS)
    const { generation } = connector.status()
    const client = await failOver(pair)
    // Before the slot is made: nobody will send this row.
    await client.query('insert into items values (2, 0)')
    await waitFor(
      () => connector.status().generation > generation && connector.status().phase === 'running',
      DEADLINE_MS,
    )
    await client.query('insert into items values (3, 0)')
    await waitFor(() => has(log, 3), DEADLINE_MS)
    const kinds = log.events.map(({ event }) => event).filter(({ kind }) => kind !== 'watermark')
    const flushed = kinds.findLastIndex(({ kind }) => kind === 'flush')
    const first = kinds.findIndex((event) => event.kind === 'change' && event.after['id'] === '3')
    expect(flushed).toBeLessThan(first)
    expect(log.flushes().at(-1)).toMatchObject({ reason: 'other-primary', edge: true })
    // A raise that the standby had not received must not be used twice.
    expect(connector.status().generation).toBeGreaterThan(generation + 1)
  })
})
