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

/** One part of a benchmark, on servers of its own. */
export type Part = () => Promise<readonly Figure[]>

/** Runs the parts that `LOCKSTEP_BENCH_PARTS` names (`l1,l2`), by default all. */
export async function runParts(parts: Readonly<Record<string, Part>>): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const name of process.env['LOCKSTEP_BENCH_PARTS']?.split(',') ?? Object.keys(parts))
    figures.push(...((await parts[name]?.()) ?? []))
  return figures
}

/** Makes a part that opens a rig and closes it afterwards. */
export function onRig<Rig extends { close(): Promise<void> }>(
  open: () => Promise<Rig>,
  measure: (rig: Rig) => Promise<readonly Figure[]>,
): Part {
  return async () => {
    const rig = await open()
    try {
      return await measure(rig)
    } finally {
      await rig.close()
    }
  }
}

/** Makes a figure that should be at most `limit`. */
export function atMost(name: string, value: number, unit: string, limit: number): Figure {
  return { name, value, unit, target: `<= ${limit}`, met: value <= limit }
}

/** Makes a figure that should be at least `limit`. */
export function atLeast(name: string, value: number, unit: string, limit: number): Figure {
  return { name, value, unit, target: `>= ${limit}`, met: value >= limit }
}

/** Makes a figure that nothing was promised for. */
export function plain(name: string, value: number, unit: string): Figure {
  return { name, value, unit, target: null, met: null }
}

export const round = (value: number, digits: number): number => Number(value.toFixed(digits))

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

/** The values below which half and 99 % of all lie. */
export function quantiles(values: readonly number[]): { readonly p50: number; readonly p99: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number): number => sorted[Math.floor(sorted.length * q)] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99) }
}
