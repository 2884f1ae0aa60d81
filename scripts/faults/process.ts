import type { Fault } from './fault.ts'

export const PROCESS: readonly Fault[] = [
  {
    id: 'A1',
    fault: 'process paused, machine suspended',
    answer: 'nothing vouches after the resume',
    tests: [
      'a machine suspended while the time of Redis is on its way vouches for nothing',
      'whatever happens to Redis, no read is past the contract and reads stay quick',
    ],
  },
  {
    id: 'A2',
    fault: 'invalidator paused past its group timeout',
    answer: 'its late writes are refused',
    tests: ['a partition that another replica took over no longer ages the watermark'],
  },
  {
    id: 'A3',
    fault: 'clock skew, clock set back',
    answer: 'order never comes from clocks',
    tests: [
      'a server clock that goes back never makes what was applied before look younger',
      'a jump of the wall clock leaves the monotonic one alone',
    ],
  },
  {
    id: 'A4',
    fault: 'killed at any point',
    answer: 'at least once, nothing lost',
    tests: [
      'a crash %s, at any passage, loses no fence, no purge and no dead letter',
      'a hundred kills at random points lose and invent nothing, on each',
      'on PostgreSQL 18 killing every process, one at a time, loses nothing and breaks no contract',
    ],
  },
  {
    id: 'A5',
    fault: 'event loop blocked',
    answer: '503 with Retry-After on routes, health answers',
    tests: ['overload is refused with a problem that nobody may store; the admin port still answers'],
  },
  {
    id: 'A6',
    fault: 'stampede on one key',
    answer: 'one load',
    tests: ['10,000 readers of one cold key in four processes cause exactly one load'],
  },
]
