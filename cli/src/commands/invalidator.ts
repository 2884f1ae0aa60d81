import { INVALIDATOR_CONFIG, readyReasons, startInvalidator, type InvalidatorStatus } from '@lockstep/invalidator'
import { assertRedis } from '../adapters/redis-check.ts'
import { openKafka, withLog } from '../kafka.ts'
import { serviceCommand } from '../service-command.ts'

/** `lockstep invalidator`: changes from Kafka into Redis, purge commands back. */
export const command = serviceCommand({
  name: 'invalidator',
  options: INVALIDATOR_CONFIG,
  health: (service, isDraining) => readyReasons(service.status() as InvalidatorStatus, isDraining),
  async start(config, { log: logger, metrics }) {
    const { kafkaBrokers: brokers, namespace, redisUrl } = config
    await assertRedis(redisUrl, namespace)
    const log = await openKafka({ brokers, namespace, service: 'invalidator', logger })
    return withLog(log, await startInvalidator(config, { log, logger, metrics }))
  },
})
