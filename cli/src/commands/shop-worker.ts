import { SHOP_PARTITIONS, startWorker, WORKER_OPTIONS } from '@lockstep/api'
import { openKafka, withLog } from '../kafka.ts'
import { serviceCommand } from '../service-command.ts'

/** `lockstep shop-worker`: views, orders and the read model of the demo shop, over Kafka. */
export const command = serviceCommand({
  name: 'shop-worker',
  options: WORKER_OPTIONS,
  health: (_worker, isDraining) => (isDraining ? { ready: false, reasons: ['draining'] } : { ready: true }),
  async start(config, { log: logger, metrics }) {
    const { kafkaBrokers: brokers, namespace } = config
    const log = await openKafka({ brokers, namespace, service: 'shop-worker', logger, partitions: SHOP_PARTITIONS })
    return withLog(log, await startWorker(config, { log, logger, metrics }))
  },
})
