import { PURGER_CONFIG, startPurger } from '@lockstep/cdn-purger'
import { openKafka, withLog } from '../kafka.ts'
import { serviceCommand } from '../service-command.ts'

/** `lockstep cdn-purger`: purge commands from Kafka to the edge. */
export const command = serviceCommand({
  name: 'cdn-purger',
  options: PURGER_CONFIG,
  // A CDN that is away is the backlog's business, not a reason to be restarted.
  health: (_service, isDraining) => ({ ready: !isDraining, reasons: isDraining ? ['draining'] : [] }),
  async start(config, { log: logger, metrics }) {
    const { kafkaBrokers: brokers, namespace } = config
    const log = await openKafka({ brokers, namespace, service: 'cdn-purger', logger })
    return withLog(log, await startPurger(config, { log, logger, metrics }))
  },
})
