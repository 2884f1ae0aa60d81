/** What is needed of a socket. */
export interface Pausable {
  pause(): void
  resume(): void
}

// A reader that is as fast as the walsender is woken for every message, and the walsender pays for it with a system call and a
// wake-up each. Above this rate (30,000 small transactions a second) the stream is a backlog or nearly one.
const BUSY_BYTES_PER_MS = 10_000
const WINDOW_MS = 10
const FILL_MS = 1

/** Reads a socket in gulps while much arrives: what comes meanwhile waits in the kernel, where it costs nobody anything. */
export class SocketPacer {
  readonly #socket: Pausable
  #isPaused = false
  #isFilling = false
  #isBusy = false
  #windowMs = 0
  #windowBytes = 0

  constructor(socket: Pausable) {
    this.#socket = socket
  }

  /** Call with each chunk. */
  received(bytes: number, nowMs: number): void {
    this.#windowBytes += bytes
    const elapsedMs = nowMs - this.#windowMs
    if (elapsedMs >= WINDOW_MS) {
      this.#isBusy = this.#windowBytes > elapsedMs * BUSY_BYTES_PER_MS
      this.#windowMs = nowMs
      this.#windowBytes = 0
    }
    if (!this.#isBusy || this.#isFilling) return
    this.#isFilling = true
    // After all that the kernel has by now.
    setImmediate(() => this.#fill())
  }

  /** Stops or goes on reading, whatever the pace. */
  setPaused(paused: boolean): void {
    this.#isPaused = paused
    if (paused) this.#socket.pause()
    else this.#socket.resume()
  }

  #fill(): void {
    this.#socket.pause()
    setTimeout(() => {
      this.#isFilling = false
      if (!this.#isPaused) this.#socket.resume()
    }, FILL_MS)
  }
}
