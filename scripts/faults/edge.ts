import type { Fault } from './fault.ts'

export const EDGE: readonly Fault[] = [
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
