import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { UnsafeSwitches } from '@lockstep/cache'
import { createKafkaLog, silentLogger, TOPICS } from '@lockstep/runtime'
import { redisKeys } from '@lockstep/schemas'
import { startKafka, type KafkaServer } from '@lockstep/servers'
import { Redis } from 'ioredis'
import type { ChildOptions } from '../connector/careless.ts'
import type { Linked, Links } from '../network/links.ts'
import { lockstep, TestProcess } from '../process.ts'
import { CONTRACT_MS } from './storm.ts'
import { EDGE_TOKEN, RULES_FILE, World } from './world.ts'

const CARELESS = fileURLToPath(new URL('../connector/careless.ts', import.meta.url))
const NAMESPACE = 'pgbench'
const REBOUND_MS = 1_000
const SETTLE_MS = 60_000
/** Longer than the contract: right after a kill the age is still young. */
const FRESH_FOR_MS = 1_500

/** How one run over Kafka is set up. */
export interface KafkaRunOptions {
  readonly major: 15 | 18
  /** pgbench's; 1 unless given. */
  readonly scale?: number
  /** Mutation: the connector passes changes on before they are visible. */
  readonly noGate?: boolean
  /** Mutation: protections that the readers do without. */
  readonly unsafe?: UnsafeSwitches
  /** By which the services reach Postgres, Kafka, Redis and the edge, and readers Redis. */
  readonly links?: Links
}

/** The pipeline as separate processes over a real broker, each under a supervisor, and two processes that read. */
export class KafkaRun {
  readonly world: World
  readonly broker: KafkaServer
  /** Every process of the pipeline and every reader, by name. */
  readonly processes: Readonly<Record<string, TestProcess>>
  readonly #redis: Redis

  private constructor(world: World, broker: KafkaServer, processes: Readonly<Record<string, TestProcess>>) {
    this.world = world
    this.broker = broker
    this.processes = processes
    this.#redis = new Redis(world.redis.url, { maxRetriesPerRequest: 0, retryStrategy: () => 100 })
    this.#redis.on('error', () => undefined)
  }

  /** Resolves once the layers are fresh and every reader reads: what is written from then on is a risk to them. */
  static async start({ major, scale = 1, noGate = false, unsafe = {}, links }: KafkaRunOptions): Promise<KafkaRun> {
    const [world, broker] = await Promise.all([
      World.create({ major, scale, namespace: NAMESPACE, maxStalenessMs: CONTRACT_MS, unsafe, links }),
      startKafka({
        needs: 'process',
        // Clients learn the address from the broker, so that all of them go by the link.
        settings: links ? { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${links.to('kafka').port}` } : {},
      }),
    ])
    const by = (server: Linked, url: string): Promise<string> =>
      links ? links.through(server, url) : Promise.resolve(url)
    const brokers = await Promise.all(broker.brokers.map((address) => by('kafka', `kafka://${address}`)))
    const env = {
      LOCKSTEP_NAMESPACE: NAMESPACE,
      LOCKSTEP_KAFKA_BROKERS: brokers.map((url) => new URL(url).host).join(','),
      LOCKSTEP_RULES_FILE: RULES_FILE,
      LOCKSTEP_REDIS_URL: world.redisUrl,
      LOCKSTEP_CONNECTOR_DATABASE_URL: await by('postgres', world.postgres.url),
      LOCKSTEP_MAX_STALENESS_MS: String(CONTRACT_MS),
      LOCKSTEP_REBOUND_MS: String(REBOUND_MS),
      LOCKSTEP_PURGER_TIERS: `varnish+${await by('edge', world.edge.url)}`,
      LOCKSTEP_PURGER_VARNISH_TOKEN: EDGE_TOKEN,
    }
    const service = (name: string): TestProcess => lockstep(name, ['--admin-port', '0'], env)
    const careless: ChildOptions = { noGate }
    const pipeline = {
      connector: noGate
        ? new TestProcess('connector', CARELESS, [JSON.stringify(careless)], env)
        : service('connector'),
      invalidator: service('invalidator'),
      'cdn-purger': service('cdn-purger'),
    }
    const readers = Object.fromEntries(world.readers.map((reader) => [reader.name, reader]))
    const run = new KafkaRun(world, broker, { ...pipeline, ...readers })
    try {
      await world.history.begin()
      // The topics are the connector's to make; the others may start together.
      await pipeline.connector.supervise().says('started', SETTLE_MS)
      await Promise.all([
        pipeline.invalidator.supervise().says('started', SETTLE_MS),
        pipeline['cdn-purger'].supervise().says('started', SETTLE_MS),
        world.startReaders({ supervised: true }),
      ])
      await run.untilFresh('nothing')
    } catch (error) {
      await run.stop()
      throw error
    }
    return run
  }

  /** Waits until the layers are fresh again after a kill. Resolves with how long they were past the contract, ms. */
  async untilFresh(killed: string): Promise<number> {
    const begin = performance.now()
    let freshSince = begin
    while (performance.now() - freshSince < FRESH_FOR_MS) {
      if ((await this.#ageMs()) > CONTRACT_MS) freshSince = performance.now()
      if (performance.now() - begin > SETTLE_MS)
        throw new Error(`not fresh again within ${SETTLE_MS} ms of kill -9 ${killed}:\n${this.#outputs()}`)
      await pause(20)
    }
    return Math.round(freshSince - begin)
  }

  /**
   * Writes a record that nobody can read into the log. Resolves with the time until a new generation covers what it may
   * have been and the layers are fresh again, ms.
   */
  async poison(): Promise<number> {
    const generation = async () => Number(await this.#redis.hget(redisKeys(NAMESPACE).watermark, 'g'))
    const before = await generation()
    const { brokers } = this.broker
    const log = createKafkaLog({ brokers, namespace: NAMESPACE, clientId: 'poisoner', logger: silentLogger })
    const begin = performance.now()
    try {
      await log.produce(TOPICS.changes, [{ key: null, partition: 0, value: Buffer.from('no event at all') }])
      while ((await generation()) <= before || (await this.#ageMs()) > CONTRACT_MS) {
        if (performance.now() - begin > SETTLE_MS) throw new Error('a poison record was never got over')
        await pause(5)
      }
      return Math.round(performance.now() - begin)
    } finally {
      await log.close()
    }
  }

  async stop(): Promise<void> {
    this.#redis.disconnect()
    await Promise.all(Object.values(this.processes).map((process) => process.stop('SIGKILL')))
    await Promise.all([this.world.stop(), this.broker.stop()])
  }

  /** Age of what Redis has applied, by Redis' own clock: its time less the oldest echo of any partition. Infinite while unknown. */
  async #ageMs(): Promise<number> {
    try {
      const [w, time] = await Promise.all([this.#redis.hgetall(redisKeys(NAMESPACE).watermark), this.#redis.time()])
      const echoes = Object.entries(w).flatMap(([field, value]) => (field.startsWith('r:') ? [Number(value)] : []))
      if (echoes.length < Number(w['n'] ?? Infinity)) return Infinity
      return (Number(time[0]) * 1e6 + Number(time[1]) - Math.min(...echoes)) / 1000
    } catch {
      return Infinity
    }
  }

  #outputs(): string {
    return Object.values(this.processes)
      .map(({ name, output }) => `${name}: ${output.slice(-2_000)}`)
      .join('\n')
  }
}
