import { writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'

/** The weakest claim on a CPU that there is. */
const NICENESS = 19

/**
 * Lets a process run where no other wants to. Linux divides CPUs among sessions before it looks at processes (`autogroup`,
 * sched(7)), and what a process group of its own started is a session: alone, its niceness would hold against nobody.
 */
export function giveWay(pid: number): void {
  setPriority(pid, NICENESS)
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS))
  } catch {
    // Another system, or a kernel without it: then the niceness is all there is.
  }
}
