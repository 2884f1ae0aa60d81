import { dashboard, heatmap, stat, timeseries, type Dashboard } from './dashboard-json.ts'

const quantile = (q: number, metric: string, by = ''): string =>
  `histogram_quantile(${q}, sum by (le${by}) (rate(${metric}_bucket[$__rate_interval])))`
const rate = (metric: string, by = ''): string =>
  `sum${by === '' ? '' : ` by (${by})`} (rate(${metric}[$__rate_interval]))`
const HITS = 'lockstep_cache_requests_total{layer!="database"}'
const ratioOf = (hits: string, all: string): string => `${rate(hits)} / ${rate(all)}`

const pipeline = dashboard('lockstep-pipeline', 'Lockstep: pipeline', [
  timeseries('Commit to eviction, p99 by layer', 's', {
    '{{layer}}': quantile(0.99, 'lockstep_commit_to_evict_seconds', ', layer'),
  }),
  timeseries('Commit to eviction, p50 by layer', 's', {
    '{{layer}}': quantile(0.5, 'lockstep_commit_to_evict_seconds', ', layer'),
  }),
  timeseries('Freshness budget burn (1 = spent in 30 days)', 'short', {
    '{{layer}}, 1 h': 'lockstep:freshness_burn:rate1h',
    '{{layer}}, 5 m': 'lockstep:freshness_burn:rate5m',
  }),
  timeseries('Age of what has been applied', 's', {
    '{{stage}}': 'max by (stage) (lockstep_stage_lag_seconds)',
    'process {{instance}}': 'lockstep_cache_freshness_age_seconds',
    stream: 'max(lockstep_heartbeat_age_seconds)',
  }),
  heatmap(
    'Commit to L1',
    'sum by (le) (increase(lockstep_commit_to_evict_seconds_bucket{layer="l1"}[$__rate_interval]))',
  ),
  timeseries('Visibility gate', 's', {
    'p99 wait': quantile(0.99, 'lockstep_visibility_wait_seconds'),
    'p50 wait': quantile(0.5, 'lockstep_visibility_wait_seconds'),
  }),
  timeseries('Stage by stage', 'ops', {
    'transactions read': rate('lockstep_transactions_total'),
    'records acknowledged, {{topic}}': rate('lockstep_produced_events_total', 'topic'),
    'fences raised, {{layer}}': rate('lockstep_evictions_total', 'layer'),
    'purges answered': rate('lockstep_purge_requests_total'),
  }),
  timeseries('Slot: WAL', 'bytes', {
    retained: 'max(lockstep_slot_retained_bytes)',
    'not acknowledged': 'max(lockstep_slot_confirmed_lag_bytes)',
  }),
  stat('Leaders / standbys', 'short', {
    leaders: 'sum(lockstep_connector_leader)',
    connectors: 'count(lockstep_connector_leader)',
  }),
  stat('Generation', 'short', { generation: 'max(lockstep_epoch)' }),
  stat('Oldest transaction', 's', { 'open for': 'max(lockstep_oldest_transaction_seconds)' }),
  timeseries('What should not happen', 'ops', {
    'holes in the log': rate('lockstep_offset_gap_total'),
    'late at the gate': rate('lockstep_visibility_late_total'),
    'unknown messages': rate('lockstep_decode_unknown_total'),
    'collapsed transactions': rate('lockstep_bulk_flush_total'),
  }),
])

const caches = dashboard('lockstep-caches', 'Lockstep: caches', [
  stat('Hit ratio, all layers', 'percentunit', {
    now: ratioOf('lockstep_cache_requests_total{outcome=~"hit|coalesced|stale"}', HITS),
  }),
  timeseries('Hit ratio by layer', 'percentunit', {
    L1: ratioOf('lockstep_cache_requests_total{layer="l1",outcome="hit"}', HITS),
    Redis: `${rate('lockstep_cache_requests_total{layer="redis",outcome="hit"}')} / ${rate('lockstep_cache_requests_total{layer="redis"}')}`,
  }),
  timeseries('Reads by layer and outcome', 'reqps', {
    '{{layer}} {{outcome}}': rate('lockstep_cache_requests_total', 'layer, outcome'),
  }),
  timeseries('Loads from the database', 'ops', {
    '{{outcome}}': rate('lockstep_cache_requests_total{layer="database"}', 'outcome'),
    refreshes: rate('lockstep_cache_refreshes_total'),
    coalesced: rate('lockstep_cache_requests_total{outcome="coalesced"}'),
  }),
  timeseries('Fills: stored, and kept out by a fence', 'ops', {
    '{{outcome}}': rate('lockstep_cache_fills_total', 'outcome'),
  }),
  timeseries('Hit ratio dropped, cause 1: more changes', 'ops', {
    'evicted from L1': rate('lockstep_cache_evicted_total'),
    'flushes, {{instance}}': 'increase(lockstep_cache_flushes_total[15m])',
  }),
  timeseries('Hit ratio dropped, cause 2: memory', 'bytes', { 'L1 {{instance}}': 'lockstep_cache_l1_bytes' }),
  timeseries('Hit ratio dropped, cause 3: layers that fail', 'ops', {
    'Redis errors': rate('lockstep_cache_redis_errors_total'),
    bypassed: rate('lockstep_cache_requests_total{outcome="bypass"}'),
  }),
  timeseries('Values in L1', 'short', { '{{instance}}': 'lockstep_cache_l1_entries' }),
])

const purges = dashboard('lockstep-purges', 'Lockstep: purges', [
  timeseries('Commit to edge', 's', {
    p99: 'histogram_quantile(0.99, sum by (le) (rate(lockstep_commit_to_evict_seconds_bucket{layer="cdn"}[$__rate_interval])))',
    p50: 'histogram_quantile(0.5, sum by (le) (rate(lockstep_commit_to_evict_seconds_bucket{layer="cdn"}[$__rate_interval])))',
  }),
  timeseries('Waiting tags', 'short', { backlog: 'sum(lockstep_purge_backlog_keys)' }),
  timeseries('Oldest waiting tag', 's', { age: 'max(lockstep_purge_oldest_age_seconds)' }),
  timeseries('Forecast: time to drain', 's', { '{{provider}}': 'max by (provider) (lockstep_purge_drain_seconds)' }),
  timeseries('Requests by provider and answer', 'reqps', {
    '{{provider}} {{outcome}}': rate('lockstep_purge_requests_total', 'provider, outcome'),
  }),
  timeseries('Keys per request, p50', 'short', {
    '{{provider}}': quantile(0.5, 'lockstep_purge_batch_keys', ', provider'),
  }),
  timeseries('Barrier', 'ops', { 'sent before all had applied it': rate('lockstep_purge_barrier_timeouts_total') }),
])

const api = dashboard('lockstep-api', 'Lockstep: API', [
  timeseries('Requests by status', 'reqps', {
    '{{status_class}}': rate('lockstep_http_request_duration_seconds_count', 'status_class'),
  }),
  timeseries('Requests by route', 'reqps', {
    '{{route}}': rate('lockstep_http_request_duration_seconds_count', 'route'),
  }),
  timeseries('Duration', 's', {
    p50: quantile(0.5, 'lockstep_http_request_duration_seconds'),
    p99: quantile(0.99, 'lockstep_http_request_duration_seconds'),
  }),
  timeseries('p99 by route', 's', { '{{route}}': quantile(0.99, 'lockstep_http_request_duration_seconds', ', route') }),
  timeseries('Database pool', 'short', {
    '{{state}}': 'sum by (state) (lockstep_database_pool_connections)',
    waiting: 'sum(lockstep_database_pool_waiting_requests)',
    limit: 'sum(lockstep_database_pool_limit_connections)',
  }),
  timeseries('Saturation: event loop', 'percentunit', {
    'lag p99 {{instance}} (s)': 'nodejs_eventloop_lag_p99_seconds{job="api"}',
  }),
  timeseries('Requests per replica', 'reqps', {
    '{{instance}}': rate('lockstep_http_request_duration_seconds_count', 'instance'),
  }),
])

const capacity = dashboard('lockstep-capacity', 'Lockstep: capacity', [
  timeseries('CPU by process', 'percentunit', {
    '{{job}} {{instance}}': rate('process_cpu_seconds_total', 'job, instance'),
  }),
  timeseries('Resident memory', 'bytes', { '{{job}} {{instance}}': 'process_resident_memory_bytes' }),
  timeseries('Heap used', 'bytes', { '{{job}} {{instance}}': 'nodejs_heap_size_used_bytes' }),
  timeseries('Event loop lag, p99', 's', { '{{job}} {{instance}}': 'nodejs_eventloop_lag_p99_seconds' }),
  timeseries('Changes per second', 'ops', {
    read: rate('lockstep_decoded_changes_total'),
    '{{table}}': rate('lockstep_decoded_changes_total', 'table'),
  }),
  timeseries('Rows per transaction, p99', 'short', { p99: quantile(0.99, 'lockstep_transaction_size_changes') }),
  timeseries('Connector: bytes on the way to the log', 'bytes', { buffered: 'max(lockstep_connector_buffered_bytes)' }),
  timeseries('CPU per change', 's', {
    'connector and invalidator': `${rate('process_cpu_seconds_total{job=~"connector|invalidator"}')} / ${rate('lockstep_transactions_total')}`,
  }),
  stat('Targets', 'short', { up: 'sum(up)', all: 'count(up)' }),
])

/** Every dashboard, by file name in deploy/grafana/dashboards. */
export const DASHBOARDS: Readonly<Record<string, Dashboard>> = { pipeline, caches, purges, api, capacity }
