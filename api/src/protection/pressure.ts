import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import { refuse } from './refusal.ts'

/** When a process refuses everything. */
export interface PressureLimits {
  /** Above this event-loop delay (ms) requests are refused with 503; 0 = never. */
  readonly maxEventLoopDelayMs: number
  /** Above this share of the last second requests are refused with 503; 0 = never. */
  readonly maxEventLoopUtilization: number
}

/** Answers 503 while the event loop is behind. */
export async function refuseUnderPressure(app: FastifyInstance, limits: PressureLimits): Promise<void> {
  let isUnderPressure = (): boolean => false
  // In a scope without routes: the plugin measures, but its own hook builds the options of the route anew for each request.
  await app.register(async (scope) => {
    await scope.register(underPressure, {
      maxEventLoopDelay: limits.maxEventLoopDelayMs,
      maxEventLoopUtilization: limits.maxEventLoopUtilization,
      // The default averages since the start, so a process that was idle for an hour would never notice a stall.
      eventLoopUtilizationMode: 'interval',
    })
    isUnderPressure = () => scope.isUnderPressure()
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (isUnderPressure()) refuse(request, reply)
    else done()
  })
}
