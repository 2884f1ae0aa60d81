/** A protection, the test that does without it, and what readers saw then. */
export interface Guard {
  readonly without: string
  readonly test: string
  readonly seen: string
}

/** Seen on two cores, 2026-11-22. */
export const GUARDS: readonly Guard[] = [
  {
    without: 'the visibility gate, or the fences',
    test: '%s reads miss changes past the contract, on PostgreSQL %i',
    seen: '8 of 8,796 reads past the contract without the gate, 986 of 11,543 without fences',
  },
  {
    without: 'the check of the contract',
    test: 'with a contract that nobody checks, reads are past it while Kafka, or Redis, is out of reach',
    seen: '992 of 5,494 reads while Kafka is a black hole, 1,106 of 5,517 while Redis is',
  },
  {
    without: 'the rewind after a failover',
    test: 'without the rewind some reads are',
    seen: '156 of 12,379 reads, of a Redis Cluster',
  },
]
