import { copyFileSync, existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readServersConfig, type ServersConfig, type ServerSource } from './config.ts'
import { dockerHasImage, startContainer } from './docker.ts'
import { findBinary } from './find-binary.ts'
import { freePort } from './free-port.ts'
import { brokerProperties } from './kafka-files.ts'
import { copyStorage, KAFKA_VERSION, kafkaHome, type KafkaHome } from './kafka-home.ts'
import { installHint, installPackages, type PackageNames } from './package-manager.ts'
import { startOwnServer } from './own-server.ts'
import { firstOffer, stderrNotice } from './provider.ts'
import { extended, givenServer, type RunningServer, type ServerNeeds } from './server.ts'
import { ask } from './wait.ts'
import { makeWorkDir } from './work-dir.ts'

const IMAGE = `apache/kafka:${KAFKA_VERSION}`
const PACKAGES: PackageNames = {
  apt: ['maven', 'default-jre-headless'],
  dnf: ['maven', 'java-latest-openjdk-headless'],
  apk: ['maven', 'openjdk21-jre-headless'],
  brew: ['maven'],
}
/** Half the memory and the quicker start: 155 MB resident, 1.75 s, measured on two cores with Java 17. */
const JVM_SMALL = ['-Xmx256m', '-Xms64m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
/** As Kafka's own start scripts run it (`kafka-server-start.sh`, `kafka-run-class.sh`, 4.3). */
const JVM_AS_SHIPPED = [
  '-Xmx1G',
  '-Xms1G',
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
]
const READY = /Kafka Server started/

/** An ApiVersions request, version 0, correlation id 1, empty client id: the one every release answers. */
const API_VERSIONS = '\0\0\0\n\0\u0012\0\0\0\0\0\u0001\0\0'

/** Tells whether a broker handles requests; an open port does not say so, Docker's proxy opens it before the broker. */
const answers = async (port: number): Promise<boolean> => (await ask(port, API_VERSIONS)).slice(4, 8) === '\0\0\0\u0001'

/** Chooses how Kafka runs; with settings or needs brokers given by environment are passed over. */
export interface KafkaOptions extends ServerNeeds {
  /** Broker properties that win over the defaults; topics are never created by themselves. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Heap, collector and compiler of a broker run from binaries: small and quick to start, or as shipped, to measure with. */
  readonly jvm?: 'small' | 'as shipped' | undefined
}

/** Is a broker that has joined its own cluster and answers. */
export interface KafkaServer extends RunningServer {
  readonly brokers: string[]
}

/** Uses the class archive (halves the start), or records one where there is none yet. */
function archiveArgs(home: KafkaHome, recording: string): string[] {
  const flag = existsSync(home.archiveFile)
    ? `-XX:SharedArchiveFile=${home.archiveFile}`
    : `-XX:ArchiveClassesAtExit=${recording}`
  return [flag, '-Xshare:auto', '-Xlog:cds=off', '-Xlog:cds+dynamic=off']
}

async function startBinary(home: KafkaHome, options: KafkaOptions, source: ServerSource): Promise<KafkaServer> {
  const work = makeWorkDir('kafka')
  const place = { port: await freePort(), controllerPort: await freePort(), dataDir: join(work.path, 'data') }
  const properties = join(work.path, 'server.properties')
  const recording = join(work.path, 'classes.jsa')
  writeFileSync(properties, brokerProperties(place, options.settings))
  copyStorage(home, place.dataDir)
  const command = () => {
    const main = [`-Dlog4j2.configurationFile=${home.log4jFile}`, '-cp', home.classPath, 'kafka.Kafka', properties]
    const jvm = options.jvm === 'as shipped' ? JVM_AS_SHIPPED : JVM_SMALL
    const args = [...jvm, ...archiveArgs(home, recording), ...main]
    return { name: 'Kafka', file: home.java, args, cwd: work.path, reapSignal: 'KILL' } as const
  }
  const server = await startOwnServer({
    work,
    command,
    isReady: async ({ log }) => READY.test(log) && (await answers(place.port)),
    end: async (ending) => {
      // Only an orderly end writes the archive; once there is one, nothing is worth waiting for.
      await (existsSync(home.archiveFile) ? ending.kill9() : ending.end('SIGTERM'))
      keepArchive(recording, home.archiveFile)
    },
  })
  return extended(server, { source, brokers: [`127.0.0.1:${place.port}`] })
}

/** Moves a recorded class archive to where the next start looks for it. */
function keepArchive(recording: string, target: string): void {
  if (!existsSync(recording) || existsSync(target)) return
  try {
    // Copied first, as the cache may be on another file system; renamed last, so that nobody reads half of it.
    copyFileSync(recording, `${target}.${process.pid}`)
    renameSync(`${target}.${process.pid}`, target)
  } catch {
    stderrNotice(`the class archive of Kafka cannot be kept at ${target}; each start will take a second longer`)
  }
}

async function startDocker(options: KafkaOptions): Promise<KafkaServer | undefined> {
  const port = await freePort()
  const listeners = {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9094',
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENERS: 'HOST://:9092,DOCKER://:9093,CONTROLLER://:9094',
    KAFKA_ADVERTISED_LISTENERS: `HOST://127.0.0.1:${port},DOCKER://kafka:9093`,
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'HOST:PLAINTEXT,DOCKER:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_INTER_BROKER_LISTENER_NAME: 'DOCKER',
  }
  const single = {
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_BROKER_HEARTBEAT_INTERVAL_MS: '500',
    KAFKA_BROKER_SESSION_TIMEOUT_MS: '3000',
    KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE: '10485760',
    KAFKA_HEAP_OPTS: '-Xmx256m -Xms64m',
    KAFKA_JVM_PERFORMANCE_OPTS: '-XX:+UseSerialGC -XX:TieredStopAtLevel=1',
  }
  const extra = Object.entries(options.settings ?? {}).map(([name, value]) => [
    `KAFKA_${name.replaceAll('.', '_').toUpperCase()}`,
    value,
  ])
  const server = await startContainer({
    what: 'Kafka',
    image: IMAGE,
    ports: [{ container: 9092, host: port }],
    hostname: 'kafka',
    env: { ...listeners, ...single, ...(Object.fromEntries(extra) as Record<string, string>) },
    readyLog: READY,
    probe: () => answers(port),
  })
  if (server === undefined) return undefined
  return extended(server, { brokers: [`127.0.0.1:${port}`] })
}

/** Says what Kafka may be found by; the tests of the search give their own. */
export interface KafkaFinder {
  readonly find: (config: ServersConfig) => Promise<KafkaHome | undefined>
  readonly install: (names: PackageNames, path: string) => Promise<boolean>
}

const FINDER: KafkaFinder = {
  find: async (config) => {
    const java = findBinary('java', config.path)
    return java === undefined ? undefined : kafkaHome(java, findBinary('mvn', config.path), config.cacheDir)
  },
  install: installPackages,
}

/**
 * Starts a real one-node Kafka (KRaft), or uses the brokers of LOCKSTEP_TEST_KAFKA_BROKERS. Topics must be created.
 * Throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy, `LOCKSTEP_SRV_START` with its log.
 */
export function startKafka(
  options: KafkaOptions = {},
  config: ServersConfig = readServersConfig(),
  finder: KafkaFinder = FINDER,
): Promise<KafkaServer> {
  const isPlain = options.needs === undefined && options.settings === undefined
  const given = (brokers: readonly string[]): KafkaServer => extended(givenServer('Kafka'), { brokers: [...brokers] })
  const binary = async (source: ServerSource) => {
    const home = await finder.find(config)
    return home === undefined ? undefined : startBinary(home, options, source)
  }
  return firstOffer<KafkaServer>(
    {
      what: 'Kafka',
      remedy: `set LOCKSTEP_TEST_KAFKA_BROKERS, start Docker with the image ${IMAGE}, or bring Java and Maven: ${installHint(PACKAGES)}`,
      sources: {
        env: () =>
          Promise.resolve(isPlain && config.kafkaBrokers !== undefined ? given(config.kafkaBrokers) : undefined),
        docker: async () =>
          options.needs === undefined && (await dockerHasImage(IMAGE, config.dockerHost))
            ? startDocker(options)
            : undefined,
        binary: () => binary('binary'),
        package: async () => ((await finder.install(PACKAGES, config.path)) ? binary('package') : undefined),
      },
    },
    config,
  )
}
