/** One measured number beside what it should be. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** Such as `<= 10`; null where nothing was promised. */
  readonly target: string | null
  readonly met: boolean | null
}

/** A benchmark: runs for a bounded time on servers of its own. */
export interface Bench {
  readonly versions: Readonly<Record<string, string>>
  run(): Promise<readonly Figure[]>
}

/** Makes a figure that should be at most `limit`. */
export function atMost(name: string, value: number, unit: string, limit: number): Figure {
  return { name, value, unit, target: `<= ${limit}`, met: value <= limit }
}

/** Makes a figure that should be at least `limit`. */
export function atLeast(name: string, value: number, unit: string, limit: number): Figure {
  return { name, value, unit, target: `>= ${limit}`, met: value >= limit }
}
