import type { Fault } from './fault.ts'

export const NETWORK: readonly Fault[] = [
  {
    id: 'N1',
    fault: 'database, Redis or log unreachable at start',
    answer: 'one message with its remedy',
    tests: [
      'a database that cannot be reached is one message of dev',
      'Redis unreachable: the invalidator says so before it asks for Kafka',
      'Kafka unreachable: the connector names the brokers and their option, and makes nothing',
    ],
  },
  {
    id: 'N2',
    fault: 'an answer that never ends',
    answer: 'counts as unavailable',
    tests: ['no answer in time, or one that never ends, is unavailable'],
  },
  {
    id: 'N3',
    fault: 'the link to Postgres, Kafka, Redis or the edge is slow, a black hole, reset or sliced (Toxiproxy)',
    answer: 'past the contract reads go to the database; all is as before when the link is',
    tests: [
      'a link to a server that is slow, silent, cut or sliced breaks no contract, and every layer agrees when it is healed',
      'with a contract that nobody checks, reads are past it while Kafka, or Redis, is out of reach',
    ],
  },
]

export const OPERATION: readonly Fault[] = [
  {
    id: 'D1',
    fault: 'admin API abused',
    answer: 'roles, caps, confirmation, audit',
    tests: [
      'nobody gets in without a token, and what a role does not include is refused, on every route',
      'everything is purged only when a second administrator confirms it in time',
      'every call that changes something is written down, before it is done and after',
    ],
  },
  {
    id: 'D2',
    fault: 'wrong configuration or secret',
    answer: 'all faults at once, no value shown',
    tests: ['all faults are reported together and none shows a value', 'several faults are one message'],
  },
  {
    id: 'D3',
    fault: 'disk full',
    answer: 'the slot gives up its WAL first, and says so before',
    tests: [
      'on a small volume the slot gives up its WAL before the disk is full, and is made again behind a flush',
      'on a small volume a slot without that bound fills the disk, and nothing can be written',
    ],
  },
]
