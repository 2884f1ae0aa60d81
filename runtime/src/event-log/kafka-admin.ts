import type { Admin } from 'kafkajs'
import { retry } from '../backoff.ts'
import { logError } from './errors.ts'
import { answerOf, createClient, type KafkaConnection } from './kafka-client.ts'

// With fewer brokers a topic gets what there is; three is what min.insync.replicas = 2 needs to survive one loss.
const MAX_REPLICATION = 3
// Few and quick: answerOf bounds the sum.
const ADMIN_RETRIES = 3
// About two seconds altogether: a leader is elected within tens of milliseconds.
const LEADER_PAUSE = { initialMs: 50, maxMs: 500 }
const LEADER_ATTEMPTS = 10

/** Offsets of one partition: of the oldest record, and of the next one to come. */
export interface PartitionBounds {
  readonly low: bigint
  readonly high: bigint
}

/** Answers questions about topics and groups over one connection, renewed after any error. */
export class KafkaAdmin {
  readonly #connection: KafkaConnection
  readonly #connect: (connection: KafkaConnection) => Promise<Admin>
  #admin: Promise<Admin> | undefined

  constructor(connection: KafkaConnection, connect = connectAdmin) {
    this.#connection = connection
    this.#connect = connect
  }

  /** @throws LOCKSTEP_LOG_TOPIC when the topic is missing. */
  partitionCount(topic: string): Promise<number> {
    return this.#ask(async (admin) => {
      const counts = await partitionCounts(admin)
      const count = counts.get(topic)
      if (count === undefined) throw logError('LOCKSTEP_LOG_TOPIC', { faults: `${topic} is missing` })
      return count
    })
  }

  bounds(topic: string): Promise<Map<number, PartitionBounds>> {
    return this.#ask(async (admin) => {
      const found = await admin.fetchTopicOffsets(topic)
      return new Map(found.map(({ partition, low, high }) => [partition, { low: BigInt(low), high: BigInt(high) }]))
    })
  }

  /** Committed offsets of a group, without the partitions it never committed. */
  committed(group: string, topic: string): Promise<Map<number, bigint>> {
    return this.#ask(async (admin) => {
      const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
      const committed = (found?.partitions ?? []).map(({ partition, offset }) => [partition, BigInt(offset)] as const)
      return new Map(committed.filter(([, offset]) => offset >= 0n))
    })
  }

  async close(): Promise<void> {
    const admin = this.#admin
    this.#admin = undefined
    await admin?.then((open) => open.disconnect()).catch(() => undefined)
  }

  #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    return patiently(() => this.#askOnce(question))
  }

  // An admin that once asked for a topic that was deleted fails for seconds, so no admin outlives an error.
  async #askOnce<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    this.#admin ??= this.#connect(this.#connection)
    try {
      return await answerOf(this.#connection, this.#admin.then(question))
    } catch (error) {
      void this.close()
      throw error
    }
  }
}

// Right after a topic's creation or a broker's restart its leaders move, and kafkajs' admin gives up at the first refusal.
function patiently<T>(ask: () => Promise<T>): Promise<T> {
  const isRetriable = (error: unknown) => (error as { retriable?: unknown }).retriable === true
  return retry(ask, { policy: LEADER_PAUSE, maxAttempts: LEADER_ATTEMPTS, isRetriable })
}

async function connectAdmin(connection: KafkaConnection): Promise<Admin> {
  const admin = createClient(connection, ADMIN_RETRIES).admin()
  await admin.connect()
  return admin
}

// Brokers that refuse, because a leader is still to be elected, are passed over inside kafkajs 2.2.4; with none left it reads
// the answer of null.
async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    const unanswered = new Error('no broker describes the cluster, a leader may be missing', { cause: error })
    throw Object.assign(unanswered, { retriable: true })
  }
}

async function partitionCounts(admin: Pick<Admin, 'fetchTopicMetadata'>): Promise<Map<string, number>> {
  const { topics } = await answered(admin.fetchTopicMetadata())
  return new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
}

/**
 * Creates the missing topics of a namespace and compares the partition counts of those that exist. Several services may
 * call it at once.
 * @param partitions Partition count by logical topic name.
 * @throws LOCKSTEP_LOG_TOPIC listing every difference; LOCKSTEP_LOG_UNREACHABLE within 10 s.
 */
export async function ensureTopics(
  connection: KafkaConnection,
  partitions: Readonly<Record<string, number>>,
): Promise<void> {
  const opening = connectAdmin(connection)
  try {
    const admin = await answerOf(connection, opening)
    const wanted = Object.entries(partitions).map(
      ([topic, count]) => [`${connection.namespace}.${topic}`, count] as const,
    )
    await answerOf(
      connection,
      patiently(() => createMissing(admin, wanted)),
    )
    await answerOf(connection, compareTopics(admin, wanted))
  } finally {
    void opening.then((admin) => admin.disconnect()).catch(() => undefined)
  }
}

/** A broker learns of a topic from the controller, and may answer a moment longer that there is none. */
export async function compareTopics(
  admin: Pick<Admin, 'fetchTopicMetadata'>,
  wanted: readonly (readonly [topic: string, partitions: number])[],
): Promise<void> {
  let isSettled = false
  const compare = async (): Promise<void> => {
    const counts = await partitionCounts(admin)
    isSettled = wanted.every(([topic]) => counts.has(topic))
    const faults = wanted
      .filter(([topic, count]) => counts.get(topic) !== count)
      .map(([topic, count]) => `${topic} has ${counts.get(topic) ?? 'no'} partitions, required are ${count}`)
    if (faults.length > 0) throw logError('LOCKSTEP_LOG_TOPIC', { faults: faults.join('; ') })
  }
  await retry(compare, { policy: LEADER_PAUSE, maxAttempts: LEADER_ATTEMPTS, isRetriable: () => !isSettled })
}

async function createMissing(admin: Admin, wanted: readonly (readonly [string, number])[]): Promise<void> {
  const counts = await partitionCounts(admin)
  const missing = wanted.filter(([topic]) => !counts.has(topic))
  if (missing.length === 0) return
  const { brokers } = await answered(admin.describeCluster())
  const replicationFactor = Math.min(MAX_REPLICATION, brokers.length)
  const minInSync = replicationFactor === 1 ? 1 : 2
  await admin.createTopics({
    waitForLeaders: true,
    topics: missing.map(([topic, numPartitions]) => ({
      topic,
      numPartitions,
      replicationFactor,
      configEntries: [
        { name: 'cleanup.policy', value: 'delete' },
        { name: 'min.insync.replicas', value: String(minInSync) },
        { name: 'unclean.leader.election.enable', value: 'false' },
      ],
    })),
  })
}
