import type { ServerResponse } from 'node:http'

// A dashboard and a few terminals of one person; each stream looks at the store as long as somebody listens.
const MAX_PER_CALLER = 8

/** Counts the answers that are being streamed, by caller. */
export class OpenStreams {
  readonly #open = new Map<string, number>()

  /** Counts a stream until its response closes; false, and nothing counted, where the caller has enough. */
  add(caller: string, response: Pick<ServerResponse, 'once'>): boolean {
    const count = this.#open.get(caller) ?? 0
    if (count >= MAX_PER_CALLER) return false
    this.#open.set(caller, count + 1)
    response.once('close', () => this.#remove(caller))
    return true
  }

  #remove(caller: string): void {
    const left = (this.#open.get(caller) ?? 0) - 1
    if (left > 0) this.#open.set(caller, left)
    else this.#open.delete(caller)
  }
}
