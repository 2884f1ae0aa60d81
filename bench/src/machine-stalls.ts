// Shorter gaps are the scheduler's and the garbage collector's; longer ones on an idle machine are its host's.
const GAP_MS = 5

/** Spins for `ms` and tells which share of the time (%) was lost in gaps above 5 ms: no latency can be better than its host. */
export function machineStallPercent(ms: number): number {
  let lostMs = 0
  let last = performance.now()
  const end = last + ms
  while (last < end) {
    const now = performance.now()
    if (now - last > GAP_MS) lostMs += now - last
    last = now
  }
  return Number(((lostMs / ms) * 100).toFixed(2))
}
