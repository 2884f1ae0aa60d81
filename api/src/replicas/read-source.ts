import type { LoadContext } from '@lockstep/cache'

/** What a load tells of itself. */
export interface SourcedRead<R, V> {
  readonly context: Pick<LoadContext, 'asOf' | 'token'>
  /** Begins its statement only when called; may be called again elsewhere. */
  query(reads: R): Promise<V | null>
  /** Everything the value depends on, its own key too. */
  tagsOf(value: V | null): readonly string[]
}

/** Where loads read: the primary, or a replica that is fresh enough for this one. */
export interface ReadSource<R> {
  load<V>(read: SourcedRead<R, V>): Promise<V | null>
}

/** Reads the primary, always. */
export function primaryOnly<R>(primary: R): ReadSource<R> {
  return { load: (read) => read.query(primary) }
}

/** The same source for other reads on the same connections. */
export function mapSource<R, S>(source: ReadSource<R>, of: (reads: R) => S): ReadSource<S> {
  return { load: (read) => source.load({ ...read, query: (reads) => read.query(of(reads)) }) }
}
