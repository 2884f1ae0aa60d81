import type { Health } from '@lockstep/runtime'
import type { InvalidatorStatus } from './invalidator.ts'

// Twice the default contract: beyond it every reader bypasses the caches, so somebody must look.
const OLD_WATERMARK_MS = 10_000

/** Says whether the service does its work: subscribed, not draining, the watermark moving. */
export function readyReasons(status: InvalidatorStatus, isDraining: boolean): Health {
  const reasons: string[] = []
  if (isDraining) reasons.push('draining')
  if (status.watermarkAgeMs !== null && status.watermarkAgeMs > OLD_WATERMARK_MS) reasons.push('watermark is old')
  const broken = Object.entries(status.partitions).filter(([, { brokenAt }]) => brokenAt !== null)
  for (const [partition] of broken) reasons.push(`partition ${partition} waits for a new generation`)
  return { ready: reasons.length === 0, reasons }
}
