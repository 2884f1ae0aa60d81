/** What a latency recorder says of the values it has seen. Milliseconds. */
export interface LatencySummary {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

// Log-linear buckets: 32 per power of two from 1 µs on, so a quantile is off by at most 3 %.
const SUB_BUCKETS = 32
const BUCKETS = 40 * SUB_BUCKETS

/** Records durations in constant memory and tells their quantiles, finer than Prometheus buckets can. */
export class LatencyRecorder {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0
  #maxMs = 0

  record(ms: number): void {
    const us = Math.max(1, ms * 1000)
    const exponent = Math.floor(Math.log2(us))
    const bucket = exponent * SUB_BUCKETS + Math.floor((us / 2 ** exponent - 1) * SUB_BUCKETS)
    const index = Math.min(bucket, BUCKETS - 1)
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
    this.#count += 1
    if (ms > this.#maxMs) this.#maxMs = ms
  }

  /** Adds another recorder's counts, as exported by `counts`. */
  merge(counts: Readonly<Record<string, number>>, maxMs: number): void {
    for (const [index, count] of Object.entries(counts)) {
      this.#counts[Number(index)] = (this.#counts[Number(index)] ?? 0) + count
      this.#count += count
    }
    if (maxMs > this.#maxMs) this.#maxMs = maxMs
  }

  /** Sparse counts by bucket, so that several processes' recorders can be merged exactly. */
  counts(): Record<string, number> {
    const sparse: Record<string, number> = {}
    this.#counts.forEach((count, index) => {
      if (count > 0) sparse[index] = count
    })
    return sparse
  }

  /** Value below which the share `q` (0…1) of all values lies, in ms; 0 when empty. */
  quantile(q: number): number {
    let left = Math.ceil(this.#count * q)
    if (left === 0) return 0
    for (let index = 0; index < BUCKETS; index++) {
      left -= this.#counts[index] ?? 0
      if (left <= 0) {
        const exponent = Math.floor(index / SUB_BUCKETS)
        return (2 ** exponent * (1 + ((index % SUB_BUCKETS) + 0.5) / SUB_BUCKETS)) / 1000
      }
    }
    return this.#maxMs
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      p50: this.quantile(0.5),
      p99: this.quantile(0.99),
      p999: this.quantile(0.999),
      max: this.#maxMs,
    }
  }

  reset(): void {
    this.#counts.fill(0)
    this.#count = 0
    this.#maxMs = 0
  }
}
