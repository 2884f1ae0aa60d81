import { assertSource, CONNECTOR_CONFIG, readyReasons, startConnector, type ConnectorStatus } from '@lockstep/connector'
import { openKafka, withLog } from '../kafka.ts'
import { serviceCommand } from '../service-command.ts'

/** `lockstep connector`: one replication stream, published to Kafka. */
export const command = serviceCommand({
  name: 'connector',
  options: CONNECTOR_CONFIG,
  health: (service, isDraining) => readyReasons(service.status() as ConnectorStatus, isDraining),
  async start(config, { log: logger, metrics }) {
    const { kafkaBrokers: brokers, namespace } = config
    // Before the topics are made; a database that is away is waited for.
    await assertSource(config, { mayBeAway: true })
    const log = await openKafka({ brokers, namespace, service: 'connector', logger })
    return withLog(log, await startConnector(config, { log, logger, metrics }))
  },
})
