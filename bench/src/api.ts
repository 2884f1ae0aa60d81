import manifest from '../package.json' with { type: 'json' }
import { measureL1Route } from './api/l1-route.ts'
import type { Bench, Figure } from './bench.ts'

const PARTS: Readonly<Record<string, () => Promise<readonly Figure[]>>> = { l1: measureL1Route }

/** One replica of the API under load; `LOCKSTEP_BENCH_PARTS=l1` runs these parts only. */
export const apiBench: Bench = {
  versions: manifest.devDependencies,
  async run(): Promise<Figure[]> {
    const chosen = process.env['LOCKSTEP_BENCH_PARTS']?.split(',') ?? Object.keys(PARTS)
    const figures: Figure[] = []
    for (const name of chosen) figures.push(...((await PARTS[name]?.()) ?? []))
    return figures
  },
}
