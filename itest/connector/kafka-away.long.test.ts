import { createRandom } from '@lockstep/runtime'
import { startKafka, startPostgres, type KafkaServer, type PostgresServer } from '@lockstep/servers'
import { waitFor } from '@lockstep/runtime/testing'
import type pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { createItems, ItemWriter, judge } from './items.ts'
import {
  connect,
  connectorProcess,
  endOfWal,
  Files,
  LogReader,
  MAJORS,
  pause,
  peakMb,
  plainStream,
  SEED,
} from './rig.ts'

const AWAY_MS = 60_000
const SETTLE_MS = 90_000
// Measured 155 to 199; the aim is 200, the rest is the collector of garbage.
const MOST_MB = 250
// Many times what sockets and buffers take: reading must pause.
const BULK_ROWS = 100
const BULK_PAUSE_MS = 50
const BUFFER_BYTES = 2 * 1024 * 1024

const stops: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop()
})

/** Inserts many rows again and again until `isOver`; answers their names. */
async function insertBulks(client: pg.Client, isOver: () => boolean): Promise<string[]> {
  const names: string[] = []
  for (let first = 1_000_000; !isOver(); first += BULK_ROWS) {
    const last = first + BULK_ROWS - 1
    await client.query('insert into items select g, g from generate_series($1::int, $2) g', [first, last])
    for (let id = first; id <= last; id++) names.push(`insert ${id} ${id}`)
    await pause(BULK_PAUSE_MS)
  }
  return names
}

/** The process that serves a slot, or null. */
async function senderOf(client: pg.Client, slot: string): Promise<number | null> {
  const { rows } = await client.query<{ active_pid: number | null }>(
    'select active_pid from pg_replication_slots where slot_name = $1',
    [slot],
  )
  return rows[0]?.active_pid ?? null
}

/** Frozen brokers keep their connections and answer nothing; killed ones refuse. */
const ABSENCES = {
  15: {
    begin: (kafka: KafkaServer) => void process.kill(kafka.pid, 'SIGSTOP'),
    end: (kafka: KafkaServer) => void process.kill(kafka.pid, 'SIGCONT'),
  },
  18: { begin: (kafka: KafkaServer) => kafka.kill9(), end: (kafka: KafkaServer) => kafka.restart() },
} as const

async function law(major: (typeof MAJORS)[number], files: Files) {
  const [kafka, postgres]: [KafkaServer, PostgresServer] = await Promise.all([
    startKafka({ needs: 'process' }),
    startPostgres({ major, needs: 'process', settings: { wal_sender_timeout: '5s' } }),
  ])
  stops.push(
    () => kafka.stop(),
    () => postgres.stop(),
  )
  const client = await connect(postgres.url)
  await createItems(client)
  const world = { files, databaseUrl: postgres.url, kafka, namespace: 'away' }
  const env = { LOCKSTEP_CONNECTOR_MAX_BUFFERED_BYTES: `${BUFFER_BYTES}` }
  const { process: connector, adminPort } = await connectorProcess(world, env)
  await connector.start().says('"started"')
  const writer = new ItemWriter(await connect(postgres.url), createRandom(SEED), { first: 0, count: 100 })
  const writing = writer.run(20)
  stops.push(() => {
    writer.stop()
    return writing
  })
  await waitFor(() => writer.committed.length > 100, SETTLE_MS)
  const sender = await senderOf(client, 'lockstep')
  const plain = await plainStream(postgres.url, 'plain', () => undefined)

  await ABSENCES[major].begin(kafka)
  plain.socket.pause()
  const back = performance.now() + AWAY_MS
  const bulk = await insertBulks(await connect(postgres.url), () => performance.now() > back)
  const plainSender = await senderOf(client, 'plain')
  const awayMb = Math.round(peakMb(connector.child.pid ?? 0))
  await ABSENCES[major].end(kafka)

  writer.stop()
  await writing
  const reader = await LogReader.open(world)
  await reader.reaches(await endOfWal(client), SETTLE_MS)
  const { lastFault } = (await (await fetch(`http://127.0.0.1:${adminPort}/statusz`)).json()) as { lastFault: string }
  return {
    major,
    rows: bulk.length + writer.committed.length,
    awayMb,
    peakMb: Math.round(peakMb(connector.child.pid ?? 0)),
    plainSender,
    keptSender: sender !== null && (await senderOf(client, 'lockstep')) === sender,
    lastFault,
    verdict: judge(reader.received, [...writer.committed, ...bulk]),
  }
}

describe('itest/connector/kafka-away on PostgreSQL 15 and 18', () => {
  test('with Kafka away for a minute and a wal_sender_timeout of 5 s the connection, the rows and the bound of memory stay', async () => {
    const files = new Files()
    stops.push(() => files.remove())
    const found = await Promise.all(MAJORS.map((major) => law(major, files)))
    for (const { verdict, ...rest } of found)
      console.log(JSON.stringify({ law: 'kafka-away', ...rest, repeated: verdict.repeated }))
    for (const { verdict, ...rest } of found) {
      // The fault is real: a reader that only waits for its sink was cut off.
      expect(rest.plainSender).toBeNull()
      expect({ ...rest, verdict }).toMatchObject({
        keptSender: true,
        lastFault: '',
        verdict: { lost: [], invented: [], late: [] },
      })
      expect(rest.peakMb).toBeLessThan(MOST_MB)
    }
  })
})
