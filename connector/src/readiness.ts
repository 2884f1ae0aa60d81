import type { Health } from '@lockstep/runtime'
import type { ConnectorStatus } from './connector.ts'

// A hundred heartbeats of the default length: caches bypass themselves long before.
const OLD_WATERMARK_MS = 5_000

/** Ready means: streaming, and the watermark moves; or waiting as a standby, which is what it is there for. */
export function readyReasons(status: ConnectorStatus, isDraining: boolean): Health {
  const reasons: string[] = []
  if (isDraining) reasons.push('draining')
  if (status.phase === 'standby') return { ready: !isDraining, reasons: [...reasons, 'standby'] }
  if (status.phase !== 'running') reasons.push(status.phase)
  const age = status.lastWatermarkAgeMs
  if (age === null || age > OLD_WATERMARK_MS) reasons.push('the watermark does not move')
  return { ready: reasons.length === 0, reasons }
}
