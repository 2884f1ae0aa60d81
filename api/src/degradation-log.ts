import type { Logger, TimeSource } from '@lockstep/runtime'

// A lost Redis fails every read: a line each would bury the log, a line per minute would hide how it goes on.
const INTERVAL_MS = 10_000

/** Notes a failure of a kind, and of what it was one. */
export type DegradationLog = (error: unknown, doing: string, about?: object) => void

/** Logs failures that the process lives through: per kind one line at once, then one per interval with how many there were. */
export function createDegradationLog(log: Logger, time: TimeSource): DegradationLog {
  const kinds = new Map<string, { loggedAtMs: number; unlogged: number }>()
  return (error, doing, about) => {
    const nowMs = time.nowMs()
    const kind = kinds.get(doing)
    if (kind && nowMs - kind.loggedAtMs < INTERVAL_MS) {
      kind.unlogged += 1
      return
    }
    log.warn(
      { err: error, doing, unlogged: kind?.unlogged ?? 0, ...about },
      `could not finish ${doing}, going on without`,
    )
    kinds.set(doing, { loggedAtMs: nowMs, unlogged: 0 })
  }
}
