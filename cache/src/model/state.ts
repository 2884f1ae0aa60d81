/** What a filler is about to do. */
export const IDLE = 0
export const LEASED = 1
export const LOADED = 2
export const TOUCHED = 3
/** Only where the stamp is taken after the load. */
export const UNSTAMPED = 4

/** A process that may load the value once per run. Sets of transactions are bit masks. */
export interface Filler {
  step: number
  stamp: number
  /** What its load saw. */
  saw: number
  /** Newest clock it has learned. */
  known: number
  lease: number
  runs: number
  incarnation: number
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

/** Database, pipeline, Redis and fillers at one instant. */
export interface ModelState {
  /** In the log / visible to snapshots / fenced in Redis. */
  committed: number
  visible: number
  applied: number
  /** Clock of each transaction's change when it was released, 0 before. */
  released: number[]
  /** How often each change was applied: the pipeline may repeat itself. */
  applications: number[]
  fence: ModelFence | null
  value: ModelValue | null
  /** Id of the living lease, 0 = none. */
  lease: number
  leases: number
  leasesExpired: number
  longFencesExpired: number
  incarnations: number
  fillers: Filler[]
}

/** How many of each there are. */
export interface Bounds {
  readonly transactions: number
  readonly fillers: number
  readonly runs: number
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
    applications: Array.from({ length: bounds.transactions }, () => 0),
    fence: null,
    value: null,
    lease: 0,
    leases: 0,
    leasesExpired: 0,
    longFencesExpired: 0,
    incarnations: 0,
    fillers: Array.from({ length: bounds.fillers }, () => ({
      step: IDLE,
      stamp: 0,
      saw: 0,
      known,
      lease: 0,
      runs: 0,
      incarnation: 0,
    })),
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

function fillerKey({ step, stamp, saw, known, lease, runs, incarnation }: Filler): string {
  return String.fromCharCode(step, stamp, saw, known, lease, runs, incarnation)
}

/** Names a state; fillers are interchangeable, so their order does not count. */
export function stateKey(state: ModelState): string {
  const { fence, value } = state
  const redis = String.fromCharCode(
    fence ? fence.clock : 0,
    fence ? fence.incarnation : 0,
    fence ? fence.outlives : 0,
    fence?.isLong ? 1 : 0,
    value ? value.stamp : 0,
    value ? value.saw : 0,
    value ? value.incarnation : 0,
    state.lease,
    state.leases,
    state.leasesExpired,
    state.longFencesExpired,
    state.incarnations,
  )
  const database = String.fromCharCode(
    state.committed,
    state.visible,
    state.applied,
    ...state.released,
    ...state.applications,
  )
  return redis + database + state.fillers.map(fillerKey).toSorted().join('')
}
