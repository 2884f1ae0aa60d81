import { CONNECTOR_CONFIG, startConnector, type RunningConnector } from '@lockstep/connector'
import { createRecordingLog, type RecordingLog } from '@lockstep/connector/testing'
import { loadConfig, silentLogger } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { startPostgres } from '@lockstep/servers'
import type pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createItems } from './items.ts'
import { connect, MAJORS } from './rig.ts'
import { DEADLINE_MS, ITEM_RULES } from './scene.ts'
import { Address, caughtUp, promote, startStandby, slotCopied, type Servers } from './standby.ts'

/** A primary with its standby, and a connector that reaches whichever has the address. */
interface Pair extends Servers {
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
  if (standbySettings['primary_slot_name'] !== undefined)
    await client.query('select pg_create_physical_replication_slot($1, true)', [standbySettings['primary_slot_name']])
  const address = await Address.of(primary)
  onTestFinished(() => address.close())
  const log = createRecordingLog()
  onTestFinished(() => log.close())
  const env = { LOCKSTEP_CONNECTOR_DATABASE_URL: address.url(primary.url), LOCKSTEP_CONNECTOR_HEARTBEAT_MS: '20' }
  const config = loadConfig(CONNECTOR_CONFIG, { env, argv: [] })
  const connector = await startConnector(config, { rules: ITEM_RULES, log, logger: silentLogger })
  onTestFinished(() => connector.stop())
  // After the slot: a standby looks for slots often at first, and every half a minute later.
  const standby = await startStandby(primary, major, standbySettings)
  onTestFinished(() => standby.stop())
  return { primary, standby, address, log, connector, client }
}

const has = (log: RecordingLog, id: number): boolean => log.changes().some(({ after }) => after['id'] === String(id))

/** The primary dies, its standby takes over, and after `before` the address leads there; answers a connection to it. */
async function failOver(
  pair: Pair,
  before: (promoted: pg.Client) => Promise<void> = () => Promise.resolve(),
): Promise<pg.Client> {
  const { primary, standby, address } = pair
  await caughtUp(pair, DEADLINE_MS)
  await primary.kill9()
  await promote(standby)
  const promoted = await connect(standby.url)
  await before(promoted)
  address.moveTo(standby)
  return promoted
}

/** Rows of `log` that stand behind its last flush, and what that one said. */
function sinceFlush(log: RecordingLog) {
  const events = log.events.map(({ event }) => event)
  const at = events.findLastIndex(({ kind }) => kind === 'flush')
  const ids = events.slice(at).flatMap((event) => (event.kind === 'change' ? [event.after['id']] : []))
  return { reason: log.flushes().at(-1)?.reason, ids }
}

const slotOf = async (client: pg.Client): Promise<string | undefined> => {
  const { rows } = await client.query<{ created: string }>(
    `select restart_lsn::text as created from pg_replication_slots where slot_name = 'lockstep' and not active`,
  )
  return rows[0]?.created
}

describe('itest/connector/promotion on PostgreSQL 18 with a failover slot', () => {
  test('the slot survives on the promoted standby and goes on from where it was, behind a flush', async () => {
    const pair = await open(18, {
      sync_replication_slots: 'on',
      hot_standby_feedback: 'on',
      primary_slot_name: 'standby',
    })
    const { log, connector } = pair
    await pair.client.query('insert into items values (1, 0)')
    await waitFor(() => has(log, 1), DEADLINE_MS)
    await slotCopied(pair, 'lockstep', DEADLINE_MS)
    const { generation } = connector.status()
    const client = await failOver(pair, async (promoted) => {
      expect(await slotOf(promoted)).toBeDefined()
      // The slot is there: this row is sent, although the connector is still away.
      await promoted.query('insert into items values (2, 0)')
    })
    await client.query('insert into items values (3, 0)')
    await waitFor(() => has(log, 3), DEADLINE_MS)
    expect(connector.status().generation).toBeGreaterThan(generation + 1)
    const { reason, ids } = sinceFlush(log)
    expect(reason).toBe('other-primary')
    expect(ids).toEqual(expect.arrayContaining(['2', '3']))
  })
})

describe.each(MAJORS)('itest/connector/promotion on PostgreSQL %s', (major) => {
  test('a promoted standby without the slot begins a generation far above the old one, and the stream goes on', async () => {
    const pair = await open(major)
    const { log, connector } = pair
    await pair.client.query('insert into items values (1, 0)')
    await waitFor(() => has(log, 1), DEADLINE_MS)
    const { generation } = connector.status()
    // Before a slot is made there, nobody will send this row.
    const client = await failOver(pair, async (promoted) => {
      await promoted.query('insert into items values (2, 0)')
    })
    await waitFor(
      () => connector.status().generation > generation && connector.status().phase === 'running',
      DEADLINE_MS,
    )
    await client.query('insert into items values (3, 0)')
    await waitFor(() => has(log, 3), DEADLINE_MS)
    expect(sinceFlush(log)).toEqual({ reason: 'other-primary', ids: ['3'] })
    // A raise that the standby had not received must not be used twice.
    expect(connector.status().generation).toBeGreaterThan(generation + 1)
  })
})
