import type { Fault } from './fault.ts'

export const KAFKA: readonly Fault[] = [
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
    answer: 'retried in order; `npm run drill -- brokers` (docker/README.md) kills one broker of three, then a leader',
    tests: [
      'a broker that answers nothing holds up the others for a second, not for the contract',
      'is asked for again without a second copy of the records',
      'a link to a server that is slow, silent, cut or sliced breaks no contract, and every layer agrees when it is healed',
    ],
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
