import type { MetricsRegistry } from '@lockstep/runtime'

/** Every instrument of the worker. */
export interface WorkerMetrics {
  readonly views: (count: number) => void
  readonly order: (outcome: 'confirmed' | 'rejected' | 'failed') => void
  readonly relayed: (count: number) => void
  readonly retried: (queue: 'views' | 'orders' | 'projection') => void
  readonly buried: (code: string) => void
  readonly rebuilt: () => void
  /** What was counted so far, for `/statusz`. */
  readonly counts: () => Readonly<Record<string, number>>
}

/** Declares the instruments. */
export function createWorkerMetrics(registry: MetricsRegistry): WorkerMetrics {
  const counted: Record<string, number> = {}
  const count = (name: string, by = 1): void => void (counted[name] = (counted[name] ?? 0) + by)
  const views = registry.counter('lockstep_shop_views_total', 'Views that were counted.')
  const orders = registry.counter('lockstep_shop_orders_total', 'Orders that were decided.', ['outcome'])
  const relayed = registry.counter('lockstep_shop_orders_relayed_total', 'Orders sent to the queue again.')
  const retries = registry.counter('lockstep_shop_retries_total', 'Attempts that failed and were repeated.', ['queue'])
  const buried = registry.counter('lockstep_dlq_records_total', 'Records sent to dead-letters.', ['error_code'])
  const rebuilds = registry.counter('lockstep_shop_rebuilds_total', 'Times the read model was built anew.')
  return {
    views(by) {
      views.inc({}, by)
      count('views', by)
    },
    order(outcome) {
      orders.inc({ outcome })
      count(outcome)
    },
    relayed(by) {
      relayed.inc({}, by)
      count('relayed', by)
    },
    retried(queue) {
      retries.inc({ queue })
      count('retries')
    },
    buried(code) {
      buried.inc({ error_code: code })
      count('buried')
    },
    rebuilt() {
      rebuilds.inc()
      count('rebuilds')
    },
    counts: () => ({ ...counted }),
  }
}
