import { apiBench } from './api.ts'
import type { Bench } from './bench.ts'
import { cacheBench } from './cache.ts'
import { connectorBench } from './connector.ts'
import { demoBench } from './demo.ts'
import { invalidatorBench } from './invalidator.ts'
import { loadBench } from './load.ts'
import { overloadBench } from './overload.ts'
import { purgerBench } from './purger.ts'

/** Every benchmark by the name it is called with. */
export const BENCHES: ReadonlyMap<string, Bench> = new Map([
  ['demo', demoBench],
  ['api', apiBench],
  ['overload', overloadBench],
  ['load', loadBench],
  ['connector', connectorBench],
  ['purger', purgerBench],
  ['cache', cacheBench],
  ['invalidator', invalidatorBench],
])
