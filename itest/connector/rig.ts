import type { EventEmitter } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createKafkaLog, silentLogger, TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { decodeEvent, parseLsn, type LogEvent, type Lsn } from '@lockstep/schemas'
import { freePort, type KafkaServer } from '@lockstep/servers'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { lockstep, TestProcess } from '../process.ts'
import type { ChildOptions } from './careless.ts'

/** The versions that every law of this directory holds on. */
export const MAJORS = [15, 18] as const

const CARELESS = fileURLToPath(new URL('careless.ts', import.meta.url))
const RULES = `
tables:
  public.items:
    - tag: item:{id}
    - tag: version:{version}
`

/** The files of one test file. */
export class Files {
  readonly directory = mkdtempSync(join(tmpdir(), 'lockstep-faults-'))
  readonly rules = join(this.directory, 'rules.yaml')

  constructor() {
    writeFileSync(this.rules, RULES)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Opens a connection that ends with the test; one that the server ends is no error. */
export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.end().catch(() => undefined))
  return client
}

/** Where the WAL ends, which everything committed so far lies below. */
export async function endOfWal(client: pg.Client): Promise<Lsn> {
  const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')
  return parseLsn(rows[0]?.lsn ?? '')
}

export interface World {
  readonly files: Files
  readonly databaseUrl: string
  readonly kafka: KafkaServer
  readonly namespace: string
  readonly slot?: string | undefined
}

/** The environment of a connector that is a process of its own. */
function environmentOf({ files, databaseUrl, kafka, namespace, slot }: World): Record<string, string> {
  return {
    LOCKSTEP_NAMESPACE: namespace,
    LOCKSTEP_KAFKA_BROKERS: kafka.brokers.join(','),
    LOCKSTEP_RULES_FILE: files.rules,
    LOCKSTEP_CONNECTOR_DATABASE_URL: databaseUrl,
    // A slot belongs to one database, its name to the server.
    ...(slot === undefined ? {} : { LOCKSTEP_CONNECTOR_SLOT: slot }),
  }
}

/** `lockstep connector` as a process, not yet started, and the port of its admin server. */
export async function connectorProcess(
  world: World,
  env: Record<string, string> = {},
): Promise<{ readonly process: TestProcess; readonly adminPort: number }> {
  const adminPort = await freePort()
  const process = lockstep('connector', ['--admin-port', `${adminPort}`], { ...environmentOf(world), ...env })
  onTestFinished(() => process.stop('SIGKILL').then(() => undefined))
  return { process, adminPort }
}

/** The same connector with one protection switched off. */
export function carelessProcess(world: World, options: ChildOptions): TestProcess {
  const process = new TestProcess('careless connector', CARELESS, [JSON.stringify(options)], environmentOf(world))
  onTestFinished(() => process.stop('SIGKILL').then(() => undefined))
  return process
}

export interface Received {
  readonly event: LogEvent
  readonly partition: number
}

/** Reads everything that the changes topic holds and goes on reading. */
export class LogReader {
  readonly received: Received[] = []
  readonly #partitions: number

  private constructor(partitions: number) {
    this.#partitions = partitions
  }

  /** Begins at the start of the log; the topic must exist. */
  static async open({ kafka, namespace }: Pick<World, 'kafka' | 'namespace'>): Promise<LogReader> {
    const log = createKafkaLog({ brokers: kafka.brokers, namespace, clientId: 'reader', logger: silentLogger })
    onTestFinished(() => log.close())
    const reader = new LogReader(await log.partitionCount(TOPICS.changes))
    await log.consume({ topic: TOPICS.changes, group: 'oracle' }, (batch) => {
      for (const { value } of batch.records)
        reader.received.push({ event: decodeEvent(value), partition: batch.partition })
      batch.commit()
      return Promise.resolve()
    })
    return reader
  }

  /** Waits until every partition vouches for everything up to `lsn`. */
  async reaches(lsn: Lsn, deadlineMs: number): Promise<void> {
    let seen = 0
    const newest = new Map<number, Lsn>()
    await waitFor(() => {
      for (; seen < this.received.length; seen++) {
        const { event, partition } = this.received[seen] as Received
        if (event.kind === 'watermark') newest.set(partition, event.lsn)
      }
      return newest.size === this.#partitions && [...newest.values()].every((at) => at >= lsn)
    }, deadlineMs)
  }

  generations(): number[] {
    return [...new Set(this.received.flatMap(({ event }) => (event.kind === 'flush' ? [event.generation] : [])))]
  }
}

/** The stream of a reader that takes no care: nothing is answered, copied or acknowledged unless the test does so. */
export interface PlainStream {
  readonly client: pg.Client
  readonly socket: Socket
  /** Settles with what ended it. */
  readonly ended: Promise<Error>
}

/** Opens a stream on a slot of its own; `onFrame` gets the bytes as the driver hands them out. */
export async function plainStream(url: string, slot: string, onFrame: (bytes: Buffer) => void): Promise<PlainStream> {
  const client = new pg.Client({ connectionString: url, replication: 'database' } as pg.ClientConfig)
  const ended = Promise.withResolvers<Error>()
  client.on('error', ended.resolve)
  await client.connect()
  onTestFinished(() => client.end().catch(() => undefined))
  await client.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`)
  const { connection } = client as unknown as { connection: EventEmitter & { stream: Socket } }
  connection.on('copyData', ({ chunk }: { chunk: Buffer }) => onFrame(chunk))
  const options = `proto_version '1', publication_names '"lockstep"'`
  client.query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (${options})`).catch(ended.resolve)
  return { client, socket: connection.stream, ended: ended.promise }
}

/** Highest resident memory of a process so far, in MB. */
export function peakMb(pid: number): number {
  const [, kb = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kb) / 1024
}

/** The seed of this run: chosen by the clock unless LOCKSTEP_SEED names the one of a run that failed. */
export const SEED = Number(process.env['LOCKSTEP_SEED'] ?? Date.now() % 1_000_000)

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
