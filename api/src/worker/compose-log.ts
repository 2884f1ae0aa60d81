import { randomUUID } from 'node:crypto'
import { createKafkaLog, createMemoryLog, type EventLog, type Logger, type MetricsRegistry } from '@lockstep/runtime'
import type { ApiConfig } from '../config.ts'
import { SHOP_PARTITIONS } from '../shop-topics.ts'
import { startWorker } from './worker.ts'

/** Where views and orders go, and how it is closed. */
export interface ComposedLog {
  readonly log: EventLog
  close(): Promise<void>
}

/**
 * Opens the log of views and orders. On Kafka others work them off; without brokers this process does: a view that it has
 * accepted and not counted yet is then lost with it, an order is not, because the table is its outbox.
 */
export async function composeLog(
  config: ApiConfig,
  { logger, metrics }: { readonly logger: Logger; readonly metrics: MetricsRegistry },
): Promise<ComposedLog> {
  const { kafkaBrokers: brokers, namespace } = config
  if (brokers.length > 0) {
    const log = createKafkaLog({ brokers, namespace, clientId: `${namespace}-api`, logger })
    return { log, close: () => log.close() }
  }
  const log = createMemoryLog({ partitions: SHOP_PARTITIONS })
  const worker = await startWorker(
    { ...config, roles: ['views', 'orders'] },
    { log, logger, metrics, logName: randomUUID() },
  )
  return {
    log,
    async close() {
      await worker.stop()
      await log.close()
    },
  }
}
