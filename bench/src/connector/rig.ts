import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, pollUntil, startKafka, type KafkaServer, type PostgresServer } from '@lockstep/servers'
import type pg from 'pg'
import { buildLockstep } from '../lockstep.ts'
import { openItemsDatabase } from '../pgbench.ts'
import { startConnectorProcess, type ConnectorProcess } from './service.ts'

export const PUBLICATION = 'bench'
const RULES = `tables:
  public.items:
    - tag: item:{id}
    - tag: category:{category_id}
`

/** Servers of one run: a database, a broker, and connector processes between them. */
export interface Rig {
  readonly postgres: PostgresServer
  readonly kafka: KafkaServer
  readonly client: pg.Client
  /** Resolves once the query finds a row. */
  until(query: string): Promise<void>
  /** Resolves with the moment at which the slot was seen in use. */
  untilStreaming(slot: string): Promise<number>
  /** Waits until nobody reads the slot, and drops it. */
  dropSlot(slot: string): Promise<void>
  connector(
    slot: string,
    env?: Readonly<Record<string, string>>,
  ): Promise<{ service: ConnectorProcess; namespace: string }>
  close(): Promise<void>
}

const POLL_MS = 5
const DEADLINE_MS = 120_000

/** Starts the servers and makes the table `items`. */
export async function openRig(): Promise<Rig> {
  buildLockstep()
  const work = mkdtempSync(join(tmpdir(), 'lockstep-bench-'))
  const rulesFile = join(work, 'rules.yaml')
  writeFileSync(rulesFile, RULES)
  const [database, kafka] = await Promise.all([
    openItemsDatabase(),
    startKafka({ needs: 'process', jvm: 'as shipped' }),
  ])
  const { postgres, client } = database
  await client.query(`create publication ${PUBLICATION} for table items`)
  const until = async (query: string): Promise<void> => {
    const isSo = await pollUntil(async () => (await client.query(query)).rows.length > 0, DEADLINE_MS, POLL_MS)
    if (!isSo) throw new Error(`it took more than ${DEADLINE_MS} ms until: ${query}`)
  }
  return {
    postgres,
    kafka,
    client,
    until,
    async untilStreaming(slot) {
      await until(`select 1 from pg_replication_slots where slot_name = '${slot}' and active`)
      return performance.now()
    },
    async dropSlot(slot) {
      await until(`select 1 from pg_replication_slots where slot_name = '${slot}' and not active`)
      await client.query('select pg_drop_replication_slot($1)', [slot])
    },
    async connector(slot, env = {}) {
      const namespace = `bench-${randomBytes(4).toString('hex')}`
      const places = { databaseUrl: postgres.url, brokers: kafka.brokers, namespace, slot, publication: PUBLICATION }
      return { namespace, service: startConnectorProcess({ ...places, rulesFile, adminPort: await freePort(), env }) }
    },
    async close() {
      await Promise.all([database.close(), kafka.stop()])
      rmSync(work, { recursive: true })
    },
  }
}
