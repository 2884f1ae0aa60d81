/**
 * The writer's half of the fence protocol. Every call may be repeated; a rejection means that the outcome is unknown.
 * `@lockstep/cache` owns the port and its adapter for Redis.
 */
export type { AdvanceBatch, AdvanceReply, FenceWriter, OpenReply, OpenRequest } from '@lockstep/cache'
