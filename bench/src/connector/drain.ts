import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createKafkaLog, TOPICS } from '@lockstep/runtime'
import { pollUntil } from '@lockstep/servers'
import { decodeEvent } from '@lockstep/schemas'
import { PUBLICATION, type Rig } from './rig.ts'

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
}

export const RECVLOGICAL = 'pg_recvlogical'
const POLL_MS = 5
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
  await client.query(`select pg_drop_replication_slot('base')`)
  return { ours, rawRowsPerSecond }
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
  const startedMs = await whenActive(rig, 'raw')
  await ended
  const seconds = (performance.now() - startedMs) / 1000
  await dropSlot(rig, 'raw')
  return workload.rows / seconds
}

async function drainOurs(rig: Rig, workload: Workload, end: string): Promise<Drain> {
  await copySlot(rig, 'ours')
  const { service, namespace } = await rig.connector('ours', ENV)
  try {
    const startedMs = await whenActive(rig, 'ours')
    const cpuBefore = service.cpuSeconds()
    // Acknowledged to Postgres only once the broker has acknowledged every record.
    const confirmed = `select 1 from pg_replication_slots where slot_name = 'ours' and confirmed_flush_lsn >= '${end}'`
    await until(rig, confirmed)
    const seconds = (performance.now() - startedMs) / 1000
    const cpuSeconds = service.cpuSeconds() - cpuBefore
    const rssPeakMb = service.rssPeakMb()
    await assertAllArrived(rig, namespace, workload)
    const millions = workload.rows / 1e6
    return { rowsPerSecond: workload.rows / seconds, cpuSecondsPerMillionRows: cpuSeconds / millions, rssPeakMb }
  } finally {
    await service.stop()
    await dropSlot(rig, 'ours')
  }
}

const copySlot = ({ client }: Rig, name: string) =>
  client.query('select pg_copy_logical_replication_slot($1, $2)', ['base', name])

async function dropSlot(rig: Rig, name: string): Promise<void> {
  await until(rig, `select 1 from pg_replication_slots where slot_name = '${name}' and not active`)
  await rig.client.query('select pg_drop_replication_slot($1)', [name])
}

async function whenActive(rig: Rig, slot: string): Promise<number> {
  await until(rig, `select 1 from pg_replication_slots where slot_name = '${slot}' and active`)
  return performance.now()
}

async function until({ client }: Rig, query: string): Promise<void> {
  const isSo = await pollUntil(async () => (await client.query(query)).rows.length > 0, DEADLINE_MS, POLL_MS)
  if (!isSo) throw new Error(`it took more than ${DEADLINE_MS} ms until: ${query}`)
}

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
