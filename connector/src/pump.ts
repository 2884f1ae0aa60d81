import type { TimeSource } from '@lockstep/runtime'
import type { Gate } from './gate.ts'
import type { Reading, Snapshots } from './ports.ts'

export interface PumpOptions {
  readonly snapshots: Pick<Snapshots, 'take'>
  readonly gate: Gate
  readonly time: TimeSource
  readonly heartbeatMs: number
  /** Least time between two questions, ms: under load what arrives meanwhile travels together. 0 asks at once, always. */
  readonly lingerMs?: number | undefined
  readonly signal: AbortSignal
  /** Newest echo at the moment it is called. */
  readonly echo: () => string
  /** Takes each snapshot after the gate has applied it; `isBeat` on the first one asked for after a heartbeat. */
  readonly onReading: (reading: Reading, echo: string, isBeat: boolean) => void
  readonly onBeat: () => void
  readonly onError: (error: unknown) => void
}

// A late transaction's server process has mostly just lost the processor between writing its commit and ending it, and is
// there after a question or two. Others wait for a standby: a poll per ms at first, 50 a second at worst.
const LATE_AT_ONCE = 3
const LATE_MAX_MS = 20

/**
 * Takes snapshots, one at a time: at once while something new waits at the gate, while only late transactions wait a few
 * times at once and then with growing pauses, and once per heartbeat.
 */
export class SnapshotPump {
  readonly #options: PumpOptions
  #isAsking = false
  #isBeatDue = false
  /** Questions that have let nothing pass since one last did, or nothing waited. */
  #vain = 0
  #isPausing = false
  #isLingering = false
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: PumpOptions) {
    this.#options = options
  }

  /** Beats until the signal; never rejects. */
  async run(): Promise<void> {
    const { time, heartbeatMs, signal, onBeat, onError } = this.#options
    try {
      while (!signal.aborted) {
        this.#isBeatDue = true
        this.wake()
        onBeat()
        await time.sleep(heartbeatMs, signal)
      }
    } catch (error) {
      if (!signal.aborted) onError(error)
    }
  }

  /** Asks for a snapshot if one is needed and none is on its way. */
  wake(): void {
    const { gate, signal } = this.#options
    if (this.#isAsking || signal.aborted) return
    if (gate.hasFresh || this.#isBeatDue || (gate.waiting > 0 && this.#vain < LATE_AT_ONCE)) {
      if (this.#lingers()) return
      this.#isAsking = true
      void this.#ask()
    } else if (gate.waiting > 0) {
      this.#pauseForLate()
    }
  }

  /** Tells whether the last question is too young for the next one, which then follows in time; a first one never waits. */
  #lingers(): boolean {
    const { time, lingerMs = 0, signal } = this.#options
    const restMs = this.#askedAtMs + lingerMs - time.nowMs()
    if (lingerMs === 0 || restMs <= 0) return false
    if (this.#isLingering) return true
    this.#isLingering = true
    time.sleep(restMs, signal).then(
      () => {
        this.#isLingering = false
        this.wake()
      },
      () => undefined,
    )
    return true
  }

  async #ask(): Promise<void> {
    const { snapshots, gate, echo, onReading, onError, signal, time } = this.#options
    this.#askedAtMs = time.nowMs()
    const isBeat = this.#isBeatDue
    const echoBefore = echo()
    const request = gate.asking()
    this.#isBeatDue = false
    try {
      const reading = await snapshots.take()
      if (signal.aborted) return
      const seen = gate.apply(reading.snapshot, request)
      this.#vain = seen > 0 || gate.waiting === 0 ? 0 : this.#vain + 1
      onReading(reading, echoBefore, isBeat)
    } catch (error) {
      if (!signal.aborted) onError(error)
      return
    } finally {
      this.#isAsking = false
    }
    this.wake()
  }

  #pauseForLate(): void {
    const { time, signal } = this.#options
    if (this.#isPausing) return
    this.#isPausing = true
    const pauseMs = Math.min(2 ** (this.#vain - LATE_AT_ONCE), LATE_MAX_MS)
    time.sleep(pauseMs, signal).then(
      () => {
        this.#isPausing = false
        this.#isBeatDue ||= this.#options.gate.waiting > 0
        this.wake()
      },
      () => undefined,
    )
  }
}
