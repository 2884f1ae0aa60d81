import type { Snapshot } from '@lockstep/schemas'
import type { Delta } from './projection.ts'

/** A product and how many of it were sold. */
export interface Bestseller {
  readonly productId: number
  readonly sold: number
}

/** Which build of the model is in force, and what it was built from. */
export interface Build {
  readonly name: string
  readonly snapshot: Snapshot
}

/** One batch of one partition of the log, summed for a build. */
export interface ModelBatch {
  readonly build: string
  readonly partition: number
  readonly from: bigint
  readonly to: bigint
  readonly delta: Delta
}

/** `changed`: another build, or none, is in force. `stands`: the partition is to be read from there. */
export type Applied =
  | { readonly kind: 'applied' }
  | { readonly kind: 'changed' }
  | { readonly kind: 'stands'; readonly offset: bigint }

/** The projection's side of the read model. Every step is atomic. */
export interface ModelWriter {
  /** Null while none is in force. */
  build(): Promise<Build | null>
  /** Adds a batch and moves its partition's position, in one step; the same batch again answers `stands`. */
  apply(batch: ModelBatch): Promise<Applied>
  /**
   * Builds anew: takes the model out of force, and only then asks `read` for a snapshot and what it sees. False where another
   * one began to build meanwhile.
   */
  rebuild(read: () => Promise<ModelContent>): Promise<boolean>
}

/** What one snapshot sees. */
export interface ModelContent {
  /** As `pg_current_snapshot()` writes it. */
  readonly snapshot: string
  readonly sold: Readonly<Record<string, number>>
  readonly categories: Readonly<Record<string, number>>
}

/** The readers' side. Null while no model is in force. */
export interface ModelReader {
  bestsellers(limit: number): Promise<Bestseller[] | null>
  categoryCounts(): Promise<Readonly<Record<string, number>> | null>
}
