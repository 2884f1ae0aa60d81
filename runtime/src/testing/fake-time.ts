import type { TimeSource } from '../time-source.ts'

interface Sleeper {
  readonly dueMs: number
  readonly wake: () => void
}

/** A time source that stands still until told to advance. */
export class FakeTime implements TimeSource {
  #nowMs = 0
  #wallOffsetMs: number
  #sleepers: Sleeper[] = []

  /** @param wallMs wall clock at the beginning. */
  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMs = wallMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.#nowMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error)
        return
      }
      const sleeper = { dueMs: this.#nowMs + ms, wake: resolve }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
        reject(signal.reason as Error)
      })
    })
  }

  /** Lets `ms` pass, waking sleepers in order of their due time, each seeing its own due time. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      await settle()
      const due = this.#sleepers.filter(({ dueMs }) => dueMs <= endMs).toSorted((a, b) => a.dueMs - b.dueMs)[0]
      if (!due) break
      this.#sleepers = this.#sleepers.filter((other) => other !== due)
      this.#nowMs = Math.max(this.#nowMs, due.dueMs)
      due.wake()
    }
    this.#nowMs = endMs
    await settle()
  }

  /** Moves the wall clock alone, as a suspended machine or an operator does. */
  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms
  }

  /** How many sleep. */
  get sleeping(): number {
    return this.#sleepers.length
  }
}

/** Lets every promise that is ready run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
