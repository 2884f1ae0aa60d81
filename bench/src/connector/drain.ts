import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKafkaLog, TOPICS } from '@lockstep/runtime'
import { pollUntil } from '@lockstep/servers'
import { decodeEvent } from '@lockstep/schemas'
import { PUBLICATION, type Rig } from './rig.ts'
import type { ConnectorProcess } from './service.ts'

/** A backlog: rows in transactions of one size. */
export interface Workload {
  readonly name: 'single' | 'hundred' | 'million'
  readonly rows: number
  readonly perTransaction: number
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'single', rows: 200_000, perTransaction: 1 },
  { name: 'hundred', rows: 500_000, perTransaction: 100 },
  { name: 'million', rows: 1_000_000, perTransaction: 1_000_000 },
]

/** One drain of one backlog. */
export interface Drain {
  readonly rowsPerSecond: number
  readonly cpuSecondsPerMillionRows: number
  readonly rssPeakMb: number
}

/** What one workload gave, run by run; `raw` is `pg_recvlogical` on a copy of the same slot. */
export interface DrainRuns {
  readonly ours: readonly Drain[]
  readonly rawRowsPerSecond: readonly number[]
  /** Greatest memory of a connector whose broker is away for a while in the middle of the backlog. */
  readonly rssLogAwayMb: number
}

export const RECVLOGICAL = 'pg_recvlogical'
const SLOT = 'ours'
// In the middle of the drain; long enough for every buffer to fill.
const AFTER_MS = 500
const AWAY_MS = 20_000
const DEADLINE_MS = 120_000
// Every row is published: the connector would otherwise let one change of the table stand for the rest.
const ENV = { LOCKSTEP_CONNECTOR_BULK_ROWS: '100000000' }

/** Writes the backlog once, then drains it from copies of one slot by `pg_recvlogical` and by the connector in turn. */
export async function drainBoth(rig: Rig, workload: Workload, rounds: number): Promise<DrainRuns> {
  const { client } = rig
  await client.query('truncate items')
  await client.query(`select pg_create_logical_replication_slot('base', 'pgoutput')`)
  await fill(rig, workload)
  const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')
  const end = rows[0]?.lsn ?? ''
  // Something behind the end lets pg_recvlogical notice that it is there.
  await client.query(`select pg_logical_emit_message(true, 'bench', 'end')`)
  await client.query('checkpoint')
  const ours: Drain[] = []
  const rawRowsPerSecond: number[] = []
  for (let round = 0; round < rounds; round++) {
    rawRowsPerSecond.push(await drainRaw(rig, workload, end))
    ours.push(await drainOurs(rig, workload, end))
  }
  const rssLogAwayMb = workload.name === 'hundred' ? await drainLogAway(rig, workload, end) : 0
  await client.query(`select pg_drop_replication_slot('base')`)
  return { ours, rawRowsPerSecond, rssLogAwayMb }
}

async function fill({ client }: Rig, { rows, perTransaction }: Workload): Promise<void> {
  const row = `g, g % 1000, 'item ' || g, 9.99 + g % 100, now(), repeat('x', 100)`
  await client.query('set synchronous_commit = off')
  await client.query(`do $$ begin
    for i in 0..${rows / perTransaction - 1} loop
      insert into items select ${row} from generate_series(i * ${perTransaction} + 1, (i + 1) * ${perTransaction}) g;
      commit;
    end loop;
  end $$`)
}

async function drainRaw(rig: Rig, workload: Workload, end: string): Promise<number> {
  await copySlot(rig, 'raw')
  const { host, port, user, password } = rig.postgres
  const place = ['-h', host, '-p', String(port), '-U', user, '-d', 'postgres', '-S', 'raw']
  const plugin = ['-o', 'proto_version=1', '-o', `publication_names=${PUBLICATION}`]
  const child = spawn(RECVLOGICAL, [...place, ...plugin, '--start', '-f', '/dev/null', '-n', '-E', end], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PGPASSWORD: password },
  })
  const ended = once(child, 'exit')
  const startedMs = await rig.untilStreaming('raw')
  await ended
  const seconds = (performance.now() - startedMs) / 1000
  await rig.dropSlot('raw')
  return workload.rows / seconds
}

async function drainOurs(rig: Rig, workload: Workload, end: string): Promise<Drain> {
  return await withConnector(rig, workload, async (service) => {
    const startedMs = await rig.untilStreaming(SLOT)
    const cpuBefore = service.cpuSeconds()
    await untilConfirmed(rig, end)
    const seconds = (performance.now() - startedMs) / 1000
    const cpuSeconds = service.cpuSeconds() - cpuBefore
    const millions = workload.rows / 1e6
    const rates = { rowsPerSecond: workload.rows / seconds, cpuSecondsPerMillionRows: cpuSeconds / millions }
    return { ...rates, rssPeakMb: service.rssPeakMb() }
  })
}

/** Kills the broker while the connector drains, lets it be away, and drains the rest. */
async function drainLogAway(rig: Rig, workload: Workload, end: string): Promise<number> {
  return await withConnector(rig, workload, async (service) => {
    await rig.untilStreaming(SLOT)
    await sleep(AFTER_MS)
    await rig.kafka.kill9()
    await sleep(AWAY_MS)
    await rig.kafka.restart()
    await untilConfirmed(rig, end)
    return service.rssPeakMb()
  })
}

/** Runs a connector on a copy of the slot, and checks afterwards that every row has arrived. */
async function withConnector<T>(
  rig: Rig,
  workload: Workload,
  measure: (service: ConnectorProcess) => Promise<T>,
): Promise<T> {
  await copySlot(rig, SLOT)
  const { service, namespace } = await rig.connector(SLOT, ENV)
  try {
    const measured = await measure(service)
    await assertAllArrived(rig, namespace, workload)
    return measured
  } finally {
    await service.stop()
    await rig.dropSlot(SLOT)
  }
}

/** Waits until Postgres may forget the backlog: only once the broker has acknowledged every record of it. */
const untilConfirmed = (rig: Rig, end: string): Promise<void> =>
  rig.until(`select 1 from pg_replication_slots where slot_name = '${SLOT}' and confirmed_flush_lsn >= '${end}'`)

const copySlot = ({ client }: Rig, name: string) =>
  client.query('select pg_copy_logical_replication_slot($1, $2)', ['base', name])

/** Reads the topic back and counts distinct rows. @throws when one is missing. */
async function assertAllArrived({ kafka }: Rig, namespace: string, { rows, name }: Workload): Promise<void> {
  const log = createKafkaLog({ brokers: kafka.brokers, namespace, clientId: 'bench' })
  const seen = new Uint8Array(rows + 1)
  let distinct = 0
  const take = (value: Buffer): void => {
    const event = decodeEvent(value)
    if (event.kind !== 'change') return
    const id = Number(event.after['id'])
    if (seen[id] === 0) distinct += 1
    seen[id] = 1
  }
  try {
    await log.consume({ topic: TOPICS.changes, group: 'verify' }, (batch) => {
      for (const { value } of batch.records) take(value)
      return Promise.resolve()
    })
    if (!(await pollUntil(() => distinct === rows, DEADLINE_MS)))
      throw new Error(`${name}: ${rows - distinct} of ${rows} rows did not arrive`)
  } finally {
    await log.close()
  }
}
