/** One fault: what the system does then, and the tests that hold it, by their titles; or why there is none. */
export interface Fault {
  readonly id: string
  readonly fault: string
  readonly answer: string
  readonly tests?: readonly string[]
  readonly why?: string
}

const DATABASE: readonly Fault[] = [
  {
    id: 'P1, P2',
    fault: 'Postgres restarted or crashed',
    answer: 'reconnects and resumes from the slot; what comes twice is harmless',
    tests: [
      'of two adjacent commits the second is delivered after a crash that followed the ack of the first',
      'readers that end at random points lose nothing',
    ],
  },
  {
    id: 'P3',
    fault: 'walsender killed, half-open connection',
    answer: 'reconnects; a silent server ends the session',
    tests: ['a killed walsender costs a reconnect, never a change', 'a server that does not answer ends the session'],
  },
  {
    id: 'P4',
    fault: 'two connectors on one slot',
    answer: 'one leads, the other stands by and takes over',
    tests: [
      'the second connector stands by, says so and writes nothing',
      'after kill -9 of the active connector the standby goes on: nothing lost, no generation, within seconds',
    ],
  },
  {
    id: 'P5',
    fault: 'failover to a standby without the slot',
    answer: 'a new generation, every layer flushed',
    tests: ['a promoted standby without the slot begins a generation far above the old one, and the stream goes on'],
  },
  {
    id: 'P6',
    fault: 'slot dropped',
    answer: 'made again behind a flush, never silently',
    tests: [
      'dropped under a running connector it is made again, after a flush of everything',
      'dropped and created by someone else while the connector was away, rows between are covered by a flush',
    ],
  },
  {
    id: 'P7',
    fault: 'slot invalidated by max_slot_wal_keep_size',
    answer: 'foretold by metrics; then as P6',
    tests: [
      'invalidated while the connector was away, it is made again after a flush',
      'the loss of the slot is foretold from the pace of the last minute',
    ],
  },
  {
    id: 'P8',
    fault: 'wal_level below logical',
    answer: 'one message with the statement that sets it',
    tests: ['without wal_level = logical, dev and doctor name the statement that sets it and make nothing'],
  },
  {
    id: 'P9',
    fault: 'publication dropped, or a table taken out of it',
    answer: 'noticed, a flush covers what was missed',
    tests: [
      'a publication dropped while the stream runs is noticed, made again and begins a generation',
      'a table taken out of it and put back between two looks is covered by a flush',
    ],
  },
  {
    id: 'P10',
    fault: 'DDL in the stream',
    answer: 'mapped anew; a missing rule column fences the class',
    tests: [
      'columns without rules that come, go, are renamed or change their type lose and flush nothing',
      'a rule column that vanishes turns every change into a fence of the class, with an alert, until it is back',
    ],
  },
  {
    id: 'P11',
    fault: 'primary key updated',
    answer: 'old and new key',
    tests: [
      'a changed primary key makes both keys wrong',
      'a changed key gives both keys, and placeholders of a key tuple are absent, not NULL',
    ],
  },
  {
    id: 'P12',
    fault: 'huge transaction',
    answer: 'its rows become one change of the table; memory stays',
    tests: [
      'many rows of one transaction collapse into one bulk change after the bound',
      'rows that wait are bounded by their bytes as well, and keep no memory but their own',
    ],
  },
  {
    id: 'P13',
    fault: 'TRUNCATE',
    answer: 'the classes of the table are fenced',
    tests: [
      'TRUNCATE CASCADE is one change of every table that it empties',
      'truncate fences the classes of the table',
    ],
  },
  {
    id: 'P14',
    fault: 'idle database, another one writes',
    answer: 'heartbeats advance the slot',
    tests: [
      'while only another database writes, the WAL that the slot retains stays flat; that of a reader without heartbeat grows',
    ],
  },
  {
    id: 'P15',
    fault: 'transaction open for long',
    answer: 'its age is measured and alerted',
    tests: ['what the slot retains and the age of the oldest transaction are measured'],
  },
  {
    id: 'P16',
    fault: 'fill from a replica that lags',
    answer: 'stamped by what it has replayed; too old: the primary',
    tests: [
      'a standby 10 s behind breaks no contract, no token and no order, and does without the stamp rule; a stopped primary refuses cleanly',
    ],
  },
  {
    id: 'P17',
    fault: 'commit delivered before it is visible',
    answer: 'held at the gate, and holds nothing else',
    tests: [
      'a commit that a missing standby keeps invisible is held, and holds nothing else',
      'with the gate switched off that commit leaves while no reader sees it: the protection is real',
    ],
  },
  {
    id: 'P18',
    fault: 'adjacent commit records, killed between them',
    answer: 'the acknowledgement is exact to the byte',
    tests: [
      'of two adjacent commits the second is delivered after a crash that followed the ack of the first',
      'acknowledging one byte more loses it: the exactness is real',
    ],
  },
  {
    id: 'P19',
    fault: 'unknown message, undecodable row',
    answer: 'counted; the class is fenced',
    tests: [
      'a stray tag is counted and ignored',
      'a row cut short at any byte becomes an unknown change of its table, never a throw',
    ],
  },
  {
    id: 'P20',
    fault: 'wal_sender_timeout of 5 s while Kafka is away',
    answer: 'status messages do not wait for the data',
    tests: [
      'with Kafka away for a minute and a wal_sender_timeout of 5 s the connection, the rows and the bound of memory stay',
    ],
  },
  {
    id: 'P21',
    fault: 'failover while the synced slot is behind',
    answer: 'a flush covers the gap',
    tests: ['the slot survives on the promoted standby and goes on from where it was, behind a flush'],
  },
  {
    id: 'P22',
    fault: 'xid at and past 2³²',
    answer: 'widened to the nearest value',
    tests: [
      'xids above 2³¹ are unsigned, and the exact end of the commit record is handed on',
      'around %s every transaction passes the gate when it is seen, and not before',
    ],
  },
]

const KAFKA: readonly Fault[] = [
  {
    id: 'K1',
    fault: 'every broker down',
    answer: 'nothing is acknowledged to Postgres, reading pauses, memory is bounded',
    tests: [
      'while the log is away reading pauses, memory is bounded and the server keeps the connection',
      'with Kafka away for a minute and a wal_sender_timeout of 5 s the connection, the rows and the bound of memory stay',
    ],
  },
  {
    id: 'K2',
    fault: 'leader moves, broker slow',
    answer: 'retried in order',
    why: 'the tests have one broker; what a client sees of it (a connection cut, an answer lost) is in runtime/src/event-log/kafka-faults.kafka.test.ts',
  },
  {
    id: 'K3',
    fault: 'produce with an unknown outcome',
    answer: 'sent again in the first order',
    tests: [
      'a rejected call is repeated with the same records, and only then counts as acknowledged',
      'after a rejection all that is not acknowledged goes again in its first order, and what came meanwhile behind it',
    ],
  },
  {
    id: 'K4',
    fault: 'topic missing, wrong number of partitions',
    answer: 'a message that names it; nothing is created',
    tests: [
      'a missing topic is a config error for consumers and producers, and is not created',
      'a partition count that differs is a config error that names both counts',
    ],
  },
  {
    id: 'K5',
    fault: 'retention overtook the group',
    answer: 'seen as a hole; a generation covers it',
    tests: [
      'show in firstOffset when retention overtook the group',
      'where the log has dropped what Redis lost, a generation is asked for and everything purged',
    ],
  },
  {
    id: 'K6',
    fault: 'duplicates and reordering',
    answer: 'maximum is the only operation',
    tests: [
      'records that were redelivered after they were applied are applied and purged again, and move nothing back',
      'a repeated or late invalidation leaves a value that already sees the change',
    ],
  },
  {
    id: 'K7',
    fault: 'rebalance, rolling deployment',
    answer: 'partitions change hands without a loss',
    tests: [
      'replicas on Kafka share the partitions, and one that joins and one that leaves lose no fence',
      'a partition that comes back after a rebalance is caught up with again',
    ],
  },
  {
    id: 'K8',
    fault: 'poison record',
    answer: 'dead letter, safe flush, the partition goes on',
    tests: [
      'an unreadable record goes to dead letters, purges everything and asks for a generation',
      'an oversized record is refused as poison, and a call larger than one request is split',
    ],
  },
  {
    id: 'K9',
    fault: 'dead letters cannot be written',
    answer: 'the partition waits',
    tests: ['dead letters that cannot be sent hold the partition back'],
  },
  {
    id: 'K10',
    fault: 'consumer hangs',
    answer: 'a watchdog ends it',
    tests: ['a partition stalls when records wait and its position stands for the whole timeout'],
  },
  {
    id: 'K11',
    fault: 'record that lies about its length',
    answer: 'refused before it is decoded',
    tests: ['bytes that are none of ours are refused by a code that says why'],
  },
  {
    id: 'K12',
    fault: 'two connectors publish',
    answer: 'who loses the lead stops first',
    tests: ['who loses the lead stops writing before the next one begins, even with records on their way'],
  },
]

const REDIS: readonly Fault[] = [
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

const PROCESS: readonly Fault[] = [
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

const EDGE: readonly Fault[] = [
  {
    id: 'C1',
    fault: 'throttled (429)',
    answer: 'left alone for Retry-After, nothing dropped',
    tests: ['a throttled provider is left alone for Retry-After, and nothing is dropped'],
  },
  {
    id: 'C2',
    fault: '5xx, silence',
    answer: 'retried with growing pauses; others go on',
    tests: [
      'an unavailable provider is tried again with growing pauses until it answers',
      'one failing provider holds back neither the other tiers of its kind nor what they purge',
    ],
  },
  {
    id: 'C3',
    fault: 'credentials denied',
    answer: 'purges wait, somebody is paged',
    tests: ['denied credentials open a breaker that probes every 30 s and loses nothing'],
  },
  {
    id: 'C4, C5',
    fault: 'refilled stale, fetch in flight',
    answer: 'the rebound removes it',
    tests: [
      'a fetch that was in flight during the purge is caught by the rebound',
      'without the rebound its old response stays (the protection is what removes it)',
    ],
  },
  {
    id: 'C6',
    fault: 'edge purged before the shield',
    answer: 'from the origin outward',
    tests: [
      'tiers are purged from the origin outward, each after the one before it',
      'a read between two tiers pins nothing when they are purged from the origin outward',
    ],
  },
  {
    id: 'C7',
    fault: '304 without tags',
    answer: 'still purgeable',
    tests: ['a response refreshed by a 304 without tags can still be purged'],
  },
  {
    id: 'C8',
    fault: 'too many tags, refused batch',
    answer: 'bounded, bisected',
    tests: ['a refused batch is bisected to the bad key, which becomes a dead letter; the others are purged'],
  },
]

const NETWORK: readonly Fault[] = [
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
]

const OPERATION: readonly Fault[] = [
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
    why: 'needs a small volume of its own; the alerts before it are tested (LockstepSlotHalfFull and its neighbours)',
  },
]

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
