import type { Fault } from './fault.ts'

export const REDIS: readonly Fault[] = [
  {
    id: 'R1',
    fault: 'restarted empty',
    answer: 'nothing vouches until a new generation; one load a key',
    tests: [
      'an emptied Redis is noticed; nothing is served from it until a new generation, then all goes on',
      '10,000 readers of one cold key in four processes cause exactly one load',
    ],
  },
  {
    id: 'R2',
    fault: 'failed over, last writes lost',
    answer: 'written again from where it stands',
    tests: ['a Redis that lost its last writes gets them again from where it stands'],
  },
  {
    id: 'R3',
    fault: 'out of memory',
    answer: 'invalidation goes on, fills stop',
    tests: ['whatever happens to Redis, no read is past the contract and reads stay quick'],
  },
  {
    id: 'R4',
    fault: 'slow or silent',
    answer: 'commands end in 100 ms, the breaker opens',
    tests: [
      'a command to a server that does not answer fails within its timeout and opens the breaker',
      'a Redis that hangs is waited for and nothing is skipped',
    ],
  },
  {
    id: 'R5',
    fault: 'bus trimmed, reader stopped',
    answer: 'a gap flushes L1',
    tests: [
      'whatever happens to Redis, no read is past the contract and reads stay quick',
      'with a contract that nobody checks, reads are past it while Redis is stalled',
    ],
  },
  {
    id: 'R6',
    fault: 'Cluster: MOVED, ASK, slots that move',
    answer: 'one slot per namespace; failover as R2',
    tests: [
      'a stale replica that is promoted gets from the log what it lost, and no read is past the contract',
      'a slot that moves to another master while it is read and written takes nothing from the promise',
    ],
  },
  {
    id: 'R7',
    fault: 'FLUSHALL, fences evicted',
    answer: 'no fence means not valid',
    tests: [
      'FLUSHALL in mid-stream leads to a new generation, and everything goes on',
      'where Redis evicts, a fill during an eviction is not stored, or under a fence that holds no more',
    ],
  },
]
