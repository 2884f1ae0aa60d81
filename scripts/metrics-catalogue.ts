import {
  createApiMetrics,
  createPoolMetrics,
  createProtectionMetrics,
  createReplicaMetrics,
  createWorkerMetrics,
} from '@lockstep/api'
import { CACHE_METRICS } from '@lockstep/cache'
import { createJournalMetrics, createPurgerMetrics } from '@lockstep/cdn-purger'
import { createConnectorMetrics } from '@lockstep/connector'
import { createInvalidatorMetrics } from '@lockstep/invalidator'
import { describeMetrics, systemTime, type MetricRow } from '@lockstep/runtime'

/** Every instrument of every process, by who exports it. */
export const METRICS: readonly (readonly [room: string, rows: readonly MetricRow[]])[] = [
  ['connector', describeMetrics((registry) => createConnectorMetrics(registry))],
  ['invalidator', describeMetrics((registry) => createInvalidatorMetrics(registry, () => 0n))],
  [
    'cdn-purger',
    describeMetrics((registry) => [createPurgerMetrics(registry, systemTime), createJournalMetrics(registry)]),
  ],
  [
    'api',
    describeMetrics((registry) => [
      createApiMetrics(registry),
      createPoolMetrics(registry),
      createProtectionMetrics(registry),
      createReplicaMetrics(registry),
    ]),
  ],
  ['shop-worker', describeMetrics((registry) => createWorkerMetrics(registry))],
  ['cache, in every process that uses it', CACHE_METRICS.map((row) => ({ ...row, buckets: [] }))],
]
