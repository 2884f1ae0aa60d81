import type { AdvanceReply } from './ports.ts'

/**
 * What this process remembers of one partition between batches. None of it is needed for coherence: `w` alone says
 * where the partition stands, and a process that starts with an empty memory asks it again.
 */
export interface PartitionMemory {
  /** Newest generation met in this partition's records. */
  newestGeneration: number
  /** Where it was met first: a flush of it further on is repeated, and covers nothing. */
  newestSince: bigint
  /** Where `w` stands before records that are lost, while the generation that covers them has not been met. */
  brokenAt: bigint | null
  /** Generation of `w` where it was newer than a flush in this partition's records. */
  heldGeneration: number
  /** Where the log was last rewound to: the next records tell whether it still had them. */
  rewoundTo: bigint | null
  /** Redis time (µs) at which `w` was first found without this partition. */
  unknownSinceUs: bigint | null
  /** Redis time (µs) at which records of a generation older than that of `w` were first met. */
  outdatedSinceUs: bigint | null
  /** Where `w` stood after the last step that it accepted. */
  position: bigint | null
}

/** Starts with nothing remembered. */
export function createPartitionMemory(): PartitionMemory {
  return {
    newestGeneration: 0,
    newestSince: 0n,
    heldGeneration: 0,
    brokenAt: null,
    rewoundTo: null,
    unknownSinceUs: null,
    outdatedSinceUs: null,
    position: null,
  }
}

/** What to do after `w` answered. */
export type Verdict =
  | { readonly kind: 'applied'; readonly busId: string; readonly outdatedBy?: number | undefined }
  /** Everything below `below` had been applied before. */
  | { readonly kind: 'behind'; readonly below: bigint }
  /** Redis lost its last writes, or another process began again from an older flush. */
  | { readonly kind: 'rewind'; readonly to: bigint }
  /** Records between `at` and the step are lost and no flush has covered them yet; `isNew` on first sight. */
  | { readonly kind: 'broken'; readonly at: bigint; readonly isNew: boolean }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown' }

/** Where in the log a step stands. */
export interface StepContext {
  readonly from: bigint
  /** Offset that the log was asked for when it delivered the batch. */
  readonly firstOffset: bigint
  /** Tells whether the batch itself holds a record in `[offset, from)`. */
  holdsRecordFrom(offset: bigint): boolean
}

/**
 * Judges an answer of `w`. A position below the step is a lost record only when the log was asked for that position
 * and began above it; otherwise the log is asked first.
 */
export function judge(reply: AdvanceReply, step: StepContext, memory: Readonly<PartitionMemory>): Verdict {
  if (reply.kind !== 'stands') return reply
  const at = reply.offset
  if (at >= step.from) return { kind: 'behind', below: at }
  if (memory.brokenAt === at) return { kind: 'broken', at, isNew: false }
  // What was rewound to and did not move `w` would not the next time either, whatever is there.
  if (memory.rewoundTo === at) return { kind: 'broken', at, isNew: true }
  if (step.firstOffset <= at && !step.holdsRecordFrom(at)) return { kind: 'broken', at, isNew: true }
  return { kind: 'rewind', to: at }
}
