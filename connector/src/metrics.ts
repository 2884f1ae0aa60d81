import { LatencyRecorder } from '@lockstep/runtime'
import type { Gauge, MetricsRegistry } from '@lockstep/runtime'

// A poll takes 0.1–0.3 ms on one machine, a standby's round trip tens of ms, an absent standby any time.
const VISIBILITY_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 30, 300]
// One row to the point where a table collapses.
const TRANSACTION_ROWS = [1, 2, 5, 10, 50, 100, 1_000, 10_000, 100_000, 1_000_000]

/** Every instrument of the connector. */
export type ConnectorMetrics = ReturnType<typeof createConnectorMetrics>

/** Declares the instruments in `registry`. */
export function createConnectorMetrics(registry: MetricsRegistry) {
  const counter = (name: string, help: string, labels: readonly string[] = []) => registry.counter(name, help, labels)
  const gauge = (name: string, help: string, labels: readonly string[] = []) => registry.gauge(name, help, labels)
  return {
    /** Commit (Postgres' clock) to the log's acknowledgement (ours), per record. */
    commitToProduced: new LatencyRecorder(),
    connected: gauge('lockstep_replication_connected', '1 while the replication stream is open.'),
    leader: gauge('lockstep_connector_leader', '1 while this process leads its namespace, 0 on a standby.'),
    reconnects: counter('lockstep_replication_reconnects_total', 'Sessions that ended, by error code.', ['reason']),
    decoded: counter('lockstep_decoded_changes_total', 'Changes read from the stream.', ['table', 'op']),
    transactions: counter('lockstep_transactions_total', 'Transactions read from the stream.'),
    transactionRows: registry.histogram(
      'lockstep_transaction_size_changes',
      'Changes per transaction.',
      TRANSACTION_ROWS,
    ),
    visibilityWait: registry.histogram(
      'lockstep_visibility_wait_seconds',
      'From the arrival of a transaction to a snapshot that sees it.',
      VISIBILITY_SECONDS,
    ),
    visibilityLate: counter(
      'lockstep_visibility_late_total',
      'Transactions that the first snapshot after their arrival did not see.',
    ),
    unknownTags: counter('lockstep_decode_unknown_total', 'Messages of an unknown kind, ignored.'),
    undecodable: counter('lockstep_dlq_records_total', 'Records sent to dead-letters.', ['error_code']),
    relations: counter('lockstep_relation_changed_total', 'Relation messages, one per table and session at least.', [
      'table',
    ]),
    bulk: counter('lockstep_bulk_flush_total', 'Transactions whose rows collapsed into a change of the table.'),
    produced: counter('lockstep_produced_events_total', 'Records that the log has acknowledged.', ['topic']),
    rejected: counter('lockstep_produce_errors_total', 'Produce calls that were rejected and repeated.', ['kind']),
    buffered: gauge('lockstep_connector_buffered_bytes', 'Bytes handed to the log and not acknowledged.'),
    ...slotMetrics(gauge),
    epoch: gauge('lockstep_epoch', 'Current generation.'),
    raises: counter('lockstep_generation_raised_total', 'Generations begun.', ['reason']),
    confirmedLag: gauge(
      'lockstep_slot_confirmed_lag_bytes',
      'WAL between the newest snapshot and what is acknowledged.',
    ),
    heartbeatAge: gauge(
      'lockstep_heartbeat_age_seconds',
      'Since a commit or a heartbeat last came through the stream.',
    ),
    watermark: gauge('lockstep_source_watermark_timestamp_seconds', 'When the newest watermark was acknowledged.'),
    preflight: counter('lockstep_preflight_failures_total', 'Checks that failed at the start of a session.', ['check']),
  }
}

type DeclareGauge = (name: string, help: string, labels?: readonly string[]) => Gauge

/** What the guardian sees. */
function slotMetrics(gauge: DeclareGauge) {
  const slotSafe = gauge(
    'lockstep_slot_safe_wal_bytes',
    'WAL that may still be written before the slot can be lost; NaN without max_slot_wal_keep_size.',
  )
  const slotEta = gauge(
    'lockstep_slot_loss_eta_seconds',
    'Until the slot can be lost at the pace of the last minute; +Inf while it is not getting closer, NaN where unknown.',
  )
  // A gauge begins at 0, which here would mean that the slot is lost.
  slotSafe.set(Number.NaN)
  slotEta.set(Number.NaN)
  return {
    slotSafe,
    slotEta,
    slotRetained: gauge('lockstep_slot_retained_bytes', 'WAL that the server keeps for the slot.'),
    slotWalStatus: gauge('lockstep_slot_wal_status', '1 for the wal_status that the server shows.', ['status']),
    slotSpilled: gauge(
      'lockstep_slot_spilled_bytes',
      'Decoded changes that the server spilled to disk, since its statistics were reset.',
    ),
    oldestTransaction: gauge(
      'lockstep_oldest_transaction_seconds',
      'For how long the oldest running transaction with an xid has been seen; it holds back the slot.',
    ),
  }
}
