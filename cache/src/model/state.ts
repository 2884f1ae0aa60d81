/** What a filler is about to do. */
export const IDLE = 0
export const LEASED = 1
export const LOADED = 2
export const TOUCHED = 3
/** Only where the stamp is taken after the load. */
export const UNSTAMPED = 4
/** Loading or loaded ahead of the lease, whose id it has already: a claim. */
export const AHEAD = 5

/** A process that may load the value once per run. Sets of transactions are bit masks. */
export interface Filler {
  step: number
  stamp: number
  /** What its load saw. */
  saw: number
  /** Newest clock it has learned. */
  known: number
  /** What the last snapshot of its own saw: changes that it may fence by itself. */
  sees: number
  lease: number
  runs: number
  incarnation: number
  /** Evictions that its node had counted when its lease was taken, and which node that was. */
  mark: number
}

/** The fence record of the one tag. */
export interface ModelFence {
  clock: number
  incarnation: number
  /** Leases (bit mask of ids) that lived when it was raised: its life is longer than theirs. */
  outlives: number
  /** A filler touched it, so that it lives as long as a value. */
  isLong: boolean
}

/** The stored value. */
export interface ModelValue {
  stamp: number
  saw: number
  incarnation: number
}

/** What Redis holds, and so what a replica has of it. */
export interface ModelRedis {
  fence: ModelFence | null
  value: ModelValue | null
  /** Id of the living lease, 0 = none. */
  lease: number
  /** Changes whose fences are applied (bit mask): where `w` stands. */
  applied: number
  /** How often each change was applied: the pipeline may repeat itself. */
  applications: number[]
}

/** Database, pipeline, Redis and fillers at one instant. */
export interface ModelState extends ModelRedis {
  /** In the log / visible to snapshots. */
  committed: number
  visible: number
  /** Clock of each transaction's change when it was released, 0 before. */
  released: number[]
  /** Changes whose fences the pipeline knows to be raised, though `w` does not stand behind them (bit mask). */
  raised: number
  leases: number
  leasesExpired: number
  longFencesExpired: number
  incarnations: number
  evictions: number
  /** Evictions as the node counts them: a promoted one begins from nothing. */
  counted: number
  /** What the replica had received when it fell behind for good; null while it keeps up, and after it was promoted. */
  replica: ModelRedis | null
  failovers: number
  fillers: Filler[]
}

/**
 * When a filler makes the fence exist and learns its incarnation: after the load; with the lease, as that of the own tag; or
 * at any time before, as of a tag that it remembers from an earlier fill.
 */
export type Touching = 'after the load' | 'with the lease' | 'before'

/** How many of each there are. */
export interface Bounds {
  readonly transactions: number
  readonly fillers: number
  readonly runs: number
  /** How often Redis may evict the fence, whatever its life. None unless given. */
  readonly evictions?: number
  /** How often a replica may be promoted that has missed the last writes. None unless given. */
  readonly failovers?: number
  /** When a filler looks at the fence that its value will name. After its load unless given. */
  readonly touches?: Touching
  /** Whether fillers may also load what they have just written, and get the lease with their own fence of it. */
  readonly ahead?: boolean
}

/** Clock of a snapshot that sees `visible`: (xmax, −|xip|) with xids from 1 on. */
export function clockOfSet(visible: number, transactions: number): number {
  let xmax = 1
  for (let index = 0; index < transactions; index++) if (visible & (1 << index)) xmax = index + 2
  let running = 0
  for (let index = 0; index < xmax - 1; index++) if (!(visible & (1 << index))) running += 1
  return xmax * 10 + 9 - running
}

/** Nothing has happened; every filler knows the first clock. */
export function initialState(bounds: Bounds): ModelState {
  const known = clockOfSet(0, bounds.transactions)
  return {
    committed: 0,
    visible: 0,
    applied: 0,
    released: Array.from({ length: bounds.transactions }, () => 0),
    raised: 0,
    applications: Array.from({ length: bounds.transactions }, () => 0),
    fence: null,
    value: null,
    lease: 0,
    leases: 0,
    leasesExpired: 0,
    longFencesExpired: 0,
    incarnations: 0,
    evictions: 0,
    counted: 0,
    replica: null,
    failovers: 0,
    fillers: Array.from({ length: bounds.fillers }, () => ({
      step: IDLE,
      stamp: 0,
      saw: 0,
      known,
      sees: 0,
      lease: 0,
      runs: 0,
      incarnation: 0,
      mark: 0,
    })),
  }
}

/** Copies what Redis holds. */
export function copyRedis({ fence, value, lease, applied, applications }: ModelRedis): ModelRedis {
  return {
    fence: fence && { ...fence },
    value: value && { ...value },
    lease,
    applied,
    applications: [...applications],
  }
}

/** Copies deeply; written out, because this is where an exploration spends its time. */
export function copyState(state: ModelState): ModelState {
  return {
    ...state,
    released: [...state.released],
    applications: [...state.applications],
    fence: state.fence && { ...state.fence },
    value: state.value && { ...state.value },
    fillers: state.fillers.map((filler) => ({ ...filler })),
  }
}

function fillerKey({ step, stamp, saw, known, sees, lease, runs, incarnation, mark }: Filler): string {
  return String.fromCharCode(step, stamp, saw, known, sees, lease, runs, incarnation, mark)
}

function redisKey({ fence, value, lease, applied, applications }: ModelRedis): string {
  return String.fromCharCode(
    fence ? fence.clock : 0,
    fence ? fence.incarnation : 0,
    fence ? fence.outlives : 0,
    fence?.isLong ? 1 : 0,
    value ? value.stamp : 0,
    value ? value.saw : 0,
    value ? value.incarnation : 0,
    lease,
    applied,
    ...applications,
  )
}

/** Names a state; fillers are interchangeable, so their order does not count. */
export function stateKey(state: ModelState): string {
  const { committed, visible, raised, leases, leasesExpired, longFencesExpired, incarnations } = state
  const { evictions, counted, failovers } = state
  const rest = String.fromCharCode(
    leases,
    leasesExpired,
    longFencesExpired,
    incarnations,
    evictions,
    counted,
    failovers,
    committed,
    visible,
    raised,
    ...state.released,
  )
  const replica = state.replica ? `+${redisKey(state.replica)}` : ''
  return redisKey(state) + rest + state.fillers.map(fillerKey).toSorted().join('') + replica
}
