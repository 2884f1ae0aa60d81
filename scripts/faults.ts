import { DATABASE } from './faults/database.ts'
import { EDGE } from './faults/edge.ts'
import type { Fault } from './faults/fault.ts'
import { KAFKA } from './faults/kafka.ts'
import { PROCESS } from './faults/process.ts'
import { REDIS } from './faults/redis.ts'
import { NETWORK, OPERATION } from './faults/surroundings.ts'

/** The faults of docs/faults.md, by what they happen to. */
export const FAULTS: readonly (readonly [kind: string, faults: readonly Fault[]])[] = [
  ['Database', DATABASE],
  ['Kafka', KAFKA],
  ['Redis', REDIS],
  ['Process', PROCESS],
  ['Edge', EDGE],
  ['Network', NETWORK],
  ['Operation', OPERATION],
]
