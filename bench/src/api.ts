import manifest from '../package.json' with { type: 'json' }
import { measureL1Route } from './api/l1-route.ts'
import { runParts, type Bench } from './bench.ts'

/** One replica of the API under load. */
export const apiBench: Bench = {
  versions: manifest.devDependencies,
  run: () => runParts({ l1: measureL1Route }),
}
