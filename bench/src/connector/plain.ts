/**
 * The control of the latency bench: the least that takes inserts from a slot to a topic. It acknowledges nothing to Postgres,
 * knows no gate, no retries and no order of its own.
 */
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'

/** What the parent process hands over. */
export interface PlainOptions {
  readonly databaseUrl: string
  readonly brokers: string[]
  readonly topic: string
  readonly slot: string
  readonly publication: string
}

const XLOG_DATA = 0x77
const INSERT = 0x49
// Kind, two positions and a time, then the plugin's own bytes: tag, table's OID, `N`, number of columns.
const TAG_AT = 25
const FIRST_COLUMN_AT = TAG_AT + 1 + 4 + 1 + 2

const { databaseUrl, brokers, topic, slot, publication } = JSON.parse(process.argv[2] ?? '{}') as PlainOptions
const producer = new Kafka({ clientId: 'plain', brokers, logLevel: logLevel.ERROR }).producer()
await producer.connect()
const client = new pg.Client({ connectionString: databaseUrl, replication: 'database' } as pg.ClientConfig)
await client.connect()
client.connection.on('copyData', ({ chunk }: { chunk: Buffer }) => {
  if (chunk[0] !== XLOG_DATA || chunk[TAG_AT] !== INSERT) return
  const from = FIRST_COLUMN_AT + 1 + 4
  const id = chunk.toString('latin1', from, from + chunk.readInt32BE(FIRST_COLUMN_AT + 1))
  void producer.send({ topic, messages: [{ key: id, value: JSON.stringify({ id }) }] })
})
await client.query(
  `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names '${publication}')`,
)
