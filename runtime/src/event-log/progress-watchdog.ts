/** Notices that records wait although the consumer asks for them: kafkajs can hang after a network drop (issue 1163). */
export class ProgressWatchdog {
  readonly #timeoutMs: number
  readonly #since = new Map<number, { readonly position: bigint; readonly atMs: number }>()

  /** @param timeoutMs How long a partition may wait without progress. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /**
   * Records what is known of a partition now; answers true when it made no progress for the whole timeout.
   * @param waits Whether records wait that only the broker can deliver.
   */
  isStalled(
    partition: number,
    { position, waits, nowMs }: { position: bigint; waits: boolean; nowMs: number },
  ): boolean {
    const known = this.#since.get(partition)
    if (!waits || known === undefined || known.position !== position) {
      this.#since.set(partition, { position, atMs: nowMs })
      return false
    }
    return nowMs - known.atMs >= this.#timeoutMs
  }

  /** Begins anew: while the brokers do not answer, nobody can make progress. */
  reset(): void {
    this.#since.clear()
  }
}
