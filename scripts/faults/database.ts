import type { Fault } from './fault.ts'

export const DATABASE: readonly Fault[] = [
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
