import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  freePort,
  pollUntil,
  startKafka,
  startPostgres,
  type KafkaServer,
  type PostgresServer,
} from '@lockstep/servers'
import pg from 'pg'
import { ITEMS_TABLE } from '../pgbench.ts'
import { buildService, startConnectorProcess, type ConnectorProcess } from './service.ts'

export const PUBLICATION = 'bench'
const RULES = `tables:
  public.items:
    - tag: item:{id}
    - tag: category:{category_id}
`
const TABLE = `${ITEMS_TABLE}; create publication ${PUBLICATION} for table items`

/** Servers of one run: a database, a broker, and connector processes between them. */
export interface Rig {
  readonly postgres: PostgresServer
  readonly kafka: KafkaServer
  readonly client: pg.Client
  /** Resolves with the moment at which the slot was seen in use. */
  untilStreaming(slot: string): Promise<number>
  connector(
    slot: string,
    env?: Readonly<Record<string, string>>,
  ): Promise<{ service: ConnectorProcess; namespace: string }>
  close(): Promise<void>
}

const POLL_MS = 5
const DEADLINE_MS = 30_000

/** Starts the servers and makes the table `items`. */
export async function openRig(): Promise<Rig> {
  buildService()
  const work = mkdtempSync(join(tmpdir(), 'lockstep-bench-'))
  const rulesFile = join(work, 'rules.yaml')
  writeFileSync(rulesFile, RULES)
  const [postgres, kafka] = await Promise.all([
    startPostgres({ needs: 'process', settings: { max_wal_size: '8GB', checkpoint_timeout: '1h' } }),
    startKafka({ needs: 'process', jvm: 'as shipped' }),
  ])
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(TABLE)
  return {
    postgres,
    kafka,
    client,
    async untilStreaming(slot) {
      const query = 'select 1 from pg_replication_slots where slot_name = $1 and active'
      const isSo = await pollUntil(
        async () => (await client.query(query, [slot])).rows.length > 0,
        DEADLINE_MS,
        POLL_MS,
      )
      if (!isSo) throw new Error(`nobody reads the slot ${slot}`)
      return performance.now()
    },
    async connector(slot, env = {}) {
      const namespace = `bench-${randomBytes(4).toString('hex')}`
      const places = { databaseUrl: postgres.url, brokers: kafka.brokers, namespace, slot, publication: PUBLICATION }
      return { namespace, service: startConnectorProcess({ ...places, rulesFile, adminPort: await freePort(), env }) }
    },
    async close() {
      await client.end()
      await Promise.all([postgres.stop(), kafka.stop()])
      rmSync(work, { recursive: true })
    },
  }
}
