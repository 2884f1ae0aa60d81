export { createPurger } from './purger.ts'
export type { Purger, PurgerDeps, PurgerOptions, PurgerStatus } from './purger.ts'
export { startPurger } from './compose.ts'
export type { RunningPurger, PurgerConfig, StartPurgerDeps } from './compose.ts'
export { PURGER_CONFIG } from './config.ts'
export { CDN_ERRORS } from './errors.ts'
export { RETRY_POLICY } from './dispatcher.ts'
export type { ProviderStatus, RetryPolicy } from './dispatcher.ts'
export type { Escalation } from './escalation.ts'
export type {
  AckView,
  EdgeProvider,
  OrderLane,
  OrderOutcome,
  ProcessAck,
  ProcessAcks,
  PurgeIntake,
  PurgeLimits,
  PurgeOrder,
  PurgeReply,
  RateBudget,
  RateLimit,
} from './ports.ts'
export { noJournal } from './journal/none.ts'
export { JOURNAL_STATES } from './journal/port.ts'
export type { JournalEntry, JournalItem, JournalState, JournalWriter } from './journal/port.ts'
export { createHttpProvider } from './adapters/http-provider.ts'
export type { HttpProviderOptions } from './adapters/http-provider.ts'
export { PROFILES } from './providers/profiles.ts'
export type { Credentials, Endpoint, ProviderKind, ProviderProfile } from './providers/profile.ts'
export { createRedisBudget } from './adapters/redis-budget.ts'
export { withMargin } from './local-budget.ts'
export { createJournalMetrics, createPurgerMetrics } from './metrics.ts'
export { createRedisAcks } from './adapters/redis-acks.ts'
export { edgeVcl } from './vcl/edge-vcl.ts'
export type { EdgeVclOptions } from './vcl/edge-vcl.ts'
export { adminOpenApi } from './admin/openapi.ts'
export { ADMIN_ERRORS } from './admin/errors.ts'
export { newToken, ROLES } from './admin/auth.ts'
export type { Principal, Role } from './admin/auth.ts'
export type { JobOutput, RecordOutput, EstimateOutput } from './admin/schemas.ts'
export { createJournalStore } from './journal/sql-store.ts'
export { openPg } from './adapters/pg-database.ts'
export { openSqlite } from './adapters/sqlite-database.ts'
export type { JournalQuery, JournalRecord, JournalStore } from './journal/store.ts'
