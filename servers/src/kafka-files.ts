/** Names the jars of a broker and its tools for `dependency:copy-dependencies`; log4j prints the line that says ready. */
export const POM = `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>lockstep</groupId>
  <artifactId>test-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>\${kafka.version}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>\${kafka.version}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.4</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
  </dependencies>
</project>
`

/** Prints state changes of the server and warnings of all else. */
export const LOG4J = `<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Appenders><Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%p %m (%c)%n"/></Console></Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
`

/** Says where a broker listens and keeps its data. */
export interface BrokerPlace {
  readonly port: number
  readonly controllerPort: number
  readonly dataDir: string
}

/**
 * One node that is broker and controller, every internal topic with one replica. The dedupe buffer takes 128 MiB of
 * heap by default, more than the whole heap given here; the rebalance delay would add 3 s to each consumer's start; a
 * killed broker may not register again before its session (9 s by default) has run out.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  'process.roles': 'broker,controller',
  'node.id': '1',
  'controller.listener.names': 'CONTROLLER',
  'inter.broker.listener.name': 'PLAINTEXT',
  'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'transaction.state.log.num.partitions': '4',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'auto.create.topics.enable': 'false',
  'group.initial.rebalance.delay.ms': '0',
  'broker.heartbeat.interval.ms': '500',
  'broker.session.timeout.ms': '3000',
  'log.cleaner.dedupe.buffer.size': '10485760',
  'num.network.threads': '2',
  'num.io.threads': '4',
}

/** Writes a broker's properties file. */
export function brokerProperties(place: BrokerPlace, extra: Readonly<Record<string, string>> = {}): string {
  const address = `PLAINTEXT://127.0.0.1:${place.port}`
  const all = {
    ...SETTINGS,
    listeners: `${address},CONTROLLER://127.0.0.1:${place.controllerPort}`,
    'advertised.listeners': address,
    'controller.quorum.voters': `1@127.0.0.1:${place.controllerPort}`,
    'log.dirs': place.dataDir,
    ...extra,
  }
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** Writes the properties for formatting; the ports in it are not kept in what is formatted. */
export const formatProperties = (dataDir: string): string => brokerProperties({ port: 1, controllerPort: 2, dataDir })
