export { createPurger } from './purger.ts'
export type { Purger, PurgerDeps, PurgerOptions, PurgerStatus } from './purger.ts'
export { startPurger } from './compose.ts'
export type { RunningPurger, PurgerConfig, StartPurgerDeps } from './compose.ts'
export { PURGER_CONFIG } from './config.ts'
export { CDN_ERRORS } from './errors.ts'
export { LANE_POLICY } from './lane.ts'
export type { LanePolicy, LaneStatus } from './lane.ts'
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
} from './ports.ts'
export { noJournal } from './journal/none.ts'
export { JOURNAL_STATES } from './journal/port.ts'
export type { JournalEntry, JournalItem, JournalState, JournalWriter } from './journal/port.ts'
export { createFastlyProvider, FASTLY_LIMITS } from './adapters/fastly.ts'
export type { FastlyOptions } from './adapters/fastly.ts'
export { createVarnishProvider, VARNISH_LIMITS } from './adapters/varnish.ts'
export type { VarnishOptions } from './adapters/varnish.ts'
export { createRedisAcks } from './adapters/redis-acks.ts'
export { edgeVcl } from './vcl/edge-vcl.ts'
export type { EdgeVclOptions } from './vcl/edge-vcl.ts'
