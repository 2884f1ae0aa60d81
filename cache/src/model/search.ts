/** What an exploration found. `trace` leads to the first stale read, null when there is none. */
export interface Exploration {
  readonly states: number
  /** States in which a cached value may be served: a model that never caches is safe and worthless. */
  readonly validStates: number
  readonly trace: readonly string[] | null
}

/** One step that may come next, by name. */
export type Step<State> = readonly [label: string, next: State]

/** Something that can be explored: its states are compared by key. */
export interface Explorable<State> {
  readonly first: State
  next(state: State): readonly Step<State>[]
  key(state: State): string
  /** Whether a cached value may be served. */
  serves(state: State): boolean
  /** Asked only of states that serve: whether what they serve misses a change it must not miss. */
  isStale(state: State): boolean
}

function traceTo(parents: ReadonlyMap<string, readonly [string, string]>, key: string): string[] {
  const labels: string[] = []
  for (let at = parents.get(key); at; at = parents.get(at[0])) labels.push(at[1])
  return labels.reverse()
}

/** Visits every state that can be reached, until one is stale. `trace` costs memory, so it is kept only where asked for. */
export function search<State>(model: Explorable<State>, options = { trace: false }): Exploration {
  const seen = new Set([model.key(model.first)])
  const parents = new Map<string, readonly [string, string]>()
  const open: State[] = [model.first]
  let validStates = 0
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    if (model.serves(state)) {
      validStates += 1
      if (model.isStale(state)) return { states: seen.size, validStates, trace: traceTo(parents, model.key(state)) }
    }
    const key = options.trace ? model.key(state) : ''
    for (const [label, next] of model.next(state)) {
      const nextKey = model.key(next)
      if (seen.has(nextKey)) continue
      seen.add(nextKey)
      if (options.trace) parents.set(nextKey, [key, label])
      open.push(next)
    }
  }
  return { states: seen.size, validStates, trace: null }
}
