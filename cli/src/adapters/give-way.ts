import { writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'

/** A tenth of an ordinary claim on a CPU: with 19, a seventieth, the load of a demo on two full cores fell behind. */
const NICENESS = 10

/**
 * Lets others run before a process. Linux divides CPUs among sessions before it looks at processes (`autogroup`,
 * sched(7)), and a process that was started detached is a session of its own: niceness alone would hold against nobody.
 */
export function giveWay(pid: number): void {
  setPriority(pid, NICENESS)
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS))
  } catch {
    // Another system, or a kernel without it: then the niceness is all there is.
  }
}
