import {
  systemTime,
  TOPICS,
  type BatchHandler,
  type EventLog,
  type Logger,
  type MetricsRegistry,
  type Subscription,
} from '@lockstep/runtime'
import { openReadModel } from '../adapters/redis-read-model.ts'
import { openDatabase } from '../adapters/pg-database.ts'
import { readContent } from '../bestsellers/model-sql.ts'
import { Projector } from '../bestsellers/projector.ts'
import type { Database } from '../database.ts'
import { createDegradationLog, type DegradationLog } from '../degradation-log.ts'
import { OrderQueue } from '../orders/order-queue.ts'
import { OrderRelay } from '../orders/order-relay.ts'
import { decideOrder, failOrder } from '../orders/orders.ts'
import { SHOP_TOPICS } from '../shop-topics.ts'
import { pgViewStore } from '../view-counters/pg-view-store.ts'
import { ViewCounters } from '../view-counters/view-counters.ts'
import type { WorkerConfig } from './config.ts'
import { createWorkerMetrics, type WorkerMetrics } from './metrics.ts'

/** What a host process shares with the worker; the log stays the host's. */
export interface WorkerDeps {
  readonly log: EventLog
  readonly logger: Logger
  readonly metrics: MetricsRegistry
  /** Names the log that stored positions belong to. Default `kafka`; a log in memory is another one at every start. */
  readonly logName?: string | undefined
}

/** A running worker. */
export interface RunningWorker {
  /** Rejects with what ended a subscription. */
  readonly closed: Promise<void>
  /** Ends intake, lets running batches finish, stores positions, closes. Idempotent. */
  stop(): Promise<void>
  status(): object
}

/** What the worker's parts are made of. */
interface Parts {
  readonly database: Database
  readonly log: EventLog
  readonly metrics: WorkerMetrics
  readonly logger: Logger
  readonly degraded: DegradationLog
  readonly logName: string
}

// Each of the three consumers runs one transaction per partition at a time.
const CONNECTIONS = 6
const REDIS_TIMEOUT_MS = 1_000

/** Starts what `roles` names. @throws what the log throws when it cannot subscribe. */
export async function startWorker(
  config: Pick<WorkerConfig, 'roles' | 'databaseUrl' | 'redisUrl' | 'namespace' | 'statementTimeoutMs'>,
  deps: WorkerDeps,
): Promise<RunningWorker> {
  const { log, logger } = deps
  const { databaseUrl, statementTimeoutMs } = config
  const pool = { databaseUrl, statementTimeoutMs, maxConnections: CONNECTIONS, applicationName: 'lockstep-shop-worker' }
  const database = openDatabase(pool)
  const metrics = createWorkerMetrics(deps.metrics)
  const degraded = createDegradationLog(logger, systemTime)
  const parts = { database, log, metrics, logger, degraded, logName: deps.logName ?? 'kafka' }
  const subscriptions: Subscription[] = []
  const stops: (() => Promise<void> | void)[] = [() => database.close()]
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()))
      for (const end of stops.toReversed()) await end()
    })())
  const consume = async (topic: string, group: string, handle: BatchHandler) =>
    void subscriptions.push(await log.consume({ topic, group }, handle))
  const has = (role: 'views' | 'orders' | 'projection'): boolean => config.roles.includes(role)
  let projector: Projector | undefined
  try {
    if (has('views')) await consume(SHOP_TOPICS.views, 'shop-views', viewsHandler(parts))
    if (has('orders')) {
      await consume(SHOP_TOPICS.orders, 'shop-orders', ordersHandler(parts))
      const relay = new OrderRelay({
        database,
        log,
        time: systemTime,
        relayed: metrics.relayed,
        failed: (error) => degraded(error, 'relaying orders'),
      })
      stops.push(() => relay.stop())
      relay.start()
    }
    if (has('projection')) {
      const { redisUrl: url, namespace } = config
      const failed = (error: unknown): void => degraded(error, 'talking to Redis')
      const model = openReadModel({ url, namespace, commandTimeoutMs: REDIS_TIMEOUT_MS, failed })
      stops.push(() => model.close())
      projector = projectorOf(parts, model)
      const projecting = projector
      await consume(TOPICS.changes, 'shop-projection', (batch, signal) => projecting.handle(batch, signal))
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    closed: Promise.race(subscriptions.map(({ closed }) => closed)),
    stop,
    status: () => ({ roles: config.roles, ...metrics.counts(), build: projector?.buildName ?? null }),
  }
}

/** Counts what was put aside, and tells it with the trace of the request that it came from. */
function burialOf({ metrics, degraded }: Parts, topic: string): (code: string, about: object) => void {
  return (code, about) => {
    metrics.buried(code)
    degraded({ code }, `a record of ${topic}`, about)
  }
}

function viewsHandler(parts: Parts): BatchHandler {
  const { database, log, metrics, degraded, logName } = parts
  const counters = new ViewCounters({
    store: pgViewStore(database, `view-counters@${logName}`),
    log,
    time: systemTime,
    random: Math.random,
    counted: metrics.views,
    buried: burialOf(parts, SHOP_TOPICS.views),
    failed(error) {
      metrics.retried('views')
      degraded(error, 'counting views')
    },
  })
  return (batch, signal) => counters.handle(batch, signal)
}

function ordersHandler(parts: Parts): BatchHandler {
  const { database, log, metrics, logger, degraded } = parts
  const queue = new OrderQueue({
    desk: { decide: (id) => decideOrder(database, id), giveUp: (id, reason) => failOrder(database, id, reason) },
    log,
    time: systemTime,
    random: Math.random,
    decided: metrics.order,
    buried: burialOf(parts, SHOP_TOPICS.orders),
    logger,
    retried(error, about) {
      metrics.retried('orders')
      degraded(error, 'deciding orders', about)
    },
  })
  return (batch, signal) => queue.handle(batch, signal)
}

function projectorOf({ database, metrics, degraded }: Parts, model: ReturnType<typeof openReadModel>): Projector {
  return new Projector({
    model,
    read: () => readContent(database),
    time: systemTime,
    random: Math.random,
    rebuilt: metrics.rebuilt,
    failed(error) {
      metrics.retried('projection')
      degraded(error, 'projecting bestsellers')
    },
  })
}
