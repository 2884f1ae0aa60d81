import type { TimeSource } from '@lockstep/runtime'
import { Breaker } from '../protection/breaker.ts'

/** Opens after three failures of any kind, for a second. */
export const createTestBreaker = (time: Pick<TimeSource, 'nowMs'>): Breaker =>
  new Breaker({ time, failures: 3, pauseMs: 1_000, refusal: () => new Error('open'), isFault: () => true })
