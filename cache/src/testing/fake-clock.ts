import type { CacheClock } from '../types.ts'

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** Lets everything run that is ready to run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Time that passes only when told to; sleepers wake in order, each having run before the next wakes. */
export class FakeClock implements CacheClock {
  // Microseconds of this size stay exact; the start of the wall clock is arbitrary.
  readonly #wallAtZero = 1_800_000_000_000
  readonly #sleepers = new Set<Sleeper>()
  #now = 1_000

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#wallAtZero + this.#now
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const wake = (): void => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const sleeper: Sleeper = { at: this.#now + ms, wake }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', wake)
    })
  }

  /** Lets `ms` pass. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (;;) {
      const due = [...this.#sleepers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (!due) break
      this.#now = Math.max(this.#now, due.at)
      due.wake()
      await settle()
    }
    this.#now = end
    await settle()
  }
}

/** One process' view of a clock; it can be suspended, as a laptop or a virtual machine can. */
export class ProcessClock implements CacheClock {
  readonly #base: CacheClock
  #sleptMs = 0

  constructor(base: CacheClock) {
    this.#base = base
  }

  now(): number {
    return this.#base.now() - this.#sleptMs
  }

  wall(): number {
    return this.#base.wall()
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#base.sleep(ms, signal)
  }

  /** The machine has slept for `ms`: its monotonic clock did not notice. */
  suspended(ms: number): void {
    this.#sleptMs += ms
  }
}
