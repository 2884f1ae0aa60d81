import {
  AHEAD,
  clockOfSet,
  copyRedis,
  copyState,
  IDLE,
  initialState,
  LEASED,
  LOADED,
  stateKey,
  TOUCHED,
  UNSTAMPED,
  type Bounds,
  type Filler,
  type ModelFence,
  type ModelState,
  type Touching,
} from './state.ts'
import { search, type Explorable, type Exploration, type Step } from './search.ts'

/**
 * The protections, each of which can be taken away:
 * - `gate`: a change is released only when a snapshot sees it
 * - `life`: a fence that is created outlives the leases of that moment
 * - `raised life`: so does one that is raised
 * - `incarnation`: a value is valid only under the fence record it was filled under
 * - `presence`: no fence record means not valid
 * - `stamp first`: the stamp is fixed before the load
 * - `read check`: fence and stamp are compared on every read
 * - `lease check`: a value is stored only while the lease is held
 * - `eviction mark`: a value is stored only if nothing was evicted between lease and touch
 * - `mark of one node`: counts of two nodes are never equal
 * - `claim in time`: a load from before its lease gets it only while every fence lives that was raised since it began
 * - `one step`: `w` moves past a change in the step that raises its fence
 * - `rewind`: after a failover the pipeline applies again what the promoted node does not know
 */
export const PROTECTIONS = [
  'gate',
  'life',
  'raised life',
  'incarnation',
  'presence',
  'stamp first',
  'read check',
  'lease check',
  'eviction mark',
  'mark of one node',
  'claim in time',
  'one step',
  'rewind',
] as const

/** One of the protections. */
export type Protection = (typeof PROTECTIONS)[number]

type Apply = (next: ModelState) => void

/** Every step of database, pipeline and expiry, and of the fillers, in every order. */
export class FenceModel implements Explorable<ModelState> {
  readonly first: ModelState
  readonly #bounds: Bounds
  readonly #touches: Touching
  readonly #without: Protection | null

  constructor(bounds: Bounds, without: Protection | null) {
    this.first = initialState(bounds)
    this.#bounds = bounds
    this.#touches = bounds.touches ?? 'after the load'
    this.#without = without
  }

  key(state: ModelState): string {
    return stateKey(state)
  }

  /** Stale is a value that misses a change whose fence had been applied. */
  isStale({ value, applied }: ModelState): boolean {
    return ((value?.saw ?? 0) & applied) !== applied
  }

  next(state: ModelState): Step<ModelState>[] {
    const steps: Step<ModelState>[] = []
    const push = (label: string, apply: Apply): void => {
      const next = copyState(state)
      apply(next)
      steps.push([label, next])
    }
    for (let index = 0; index < this.#bounds.transactions; index++) this.#transactionSteps(state, index, push)
    this.#expirySteps(state, push)
    this.#lossSteps(state, push)
    state.fillers.forEach((_, index) => this.#fillerSteps(state, index, push))
    return steps
  }

  /** Whether a reader that asks Redis for value and fence would serve the value. */
  serves(state: ModelState): boolean {
    const { value, fence } = state
    if (!value) return false
    if (this.#lacks('read check')) return true
    if (!fence) return this.#lacks('presence')
    return fence.clock <= value.stamp && (this.#lacks('incarnation') || fence.incarnation === value.incarnation)
  }

  #lacks(protection: Protection): boolean {
    return this.#without === protection
  }

  #clock(state: ModelState): number {
    return clockOfSet(state.visible, this.#bounds.transactions)
  }

  #transactionSteps(state: ModelState, index: number, push: (label: string, apply: Apply) => void): void {
    const bit = 1 << index
    const isCommitted = (state.committed & bit) !== 0
    const isVisible = (state.visible & bit) !== 0
    const released = state.released[index] ?? 0
    if (!isCommitted) push(`x${index} commits`, (next) => (next.committed |= bit))
    if (isCommitted && !isVisible) push(`x${index} becomes visible`, (next) => (next.visible |= bit))
    if (isCommitted && released === 0 && (isVisible || this.#lacks('gate'))) {
      push(`x${index} is released`, (next) => (next.released[index] = this.#clock(next)))
    }
    if (released === 0) return
    if (this.#lacks('one step')) this.#applyInTwoSteps(state, index, push)
    else if ((state.applications[index] ?? 0) < 2) {
      push(`x${index} is applied`, (next) => this.#invalidate(next, index, released))
    }
  }

  #applyInTwoSteps(state: ModelState, index: number, push: (label: string, apply: Apply) => void): void {
    const bit = 1 << index
    if ((state.raised & bit) === 0) {
      push(`the fence of x${index} is raised`, (next) => {
        next.raised |= bit
        this.#raise(next, next.released[index] ?? 0)
      })
    } else if ((state.applied & bit) === 0) push(`w passes x${index}`, (next) => (next.applied |= bit))
  }

  #invalidate(next: ModelState, index: number, clock: number): void {
    next.applications[index] = (next.applications[index] ?? 0) + 1
    next.applied |= 1 << index
    this.#raise(next, clock)
  }

  #raise(next: ModelState, clock: number): void {
    const living = this.#living(next)
    if (!next.fence) {
      next.incarnations += 1
      next.fence = { clock, incarnation: next.incarnations, outlives: living, isLong: false }
      return
    }
    next.fence.clock = Math.max(next.fence.clock, clock)
    if (!this.#lacks('raised life')) next.fence.outlives |= living
  }

  /** Bit mask of the lease and the claims that a fence raised now outlives. */
  #living({ lease, fillers }: ModelState): number {
    let living = lease === 0 ? 0 : 1 << lease
    if (this.#lacks('claim in time')) return living
    for (const filler of fillers) if (filler.step === AHEAD) living |= 1 << filler.lease
    return living
  }

  #expirySteps(state: ModelState, push: (label: string, apply: Apply) => void): void {
    const { fence } = state
    const isGuarding = fence !== null && (fence.outlives & this.#living(state)) !== 0
    if (fence && !fence.isLong && (!isGuarding || this.#lacks('life'))) {
      push('the short fence expires', (next) => (next.fence = null))
    }
    if (fence?.isLong && state.longFencesExpired === 0 && !isGuarding) {
      push('the long fence expires', (next) => {
        next.fence = null
        next.longFencesExpired = 1
      })
    }
    if (state.lease !== 0 && state.leasesExpired === 0) {
      push('the lease expires', (next) => {
        next.lease = 0
        next.leasesExpired = 1
      })
    }
  }

  /** What Redis loses by itself: an evicted fence, and with a failover everything since the replica fell behind. */
  #lossSteps(state: ModelState, push: (label: string, apply: Apply) => void): void {
    const { evictions = 0, failovers = 0 } = this.#bounds
    if (state.fence && state.evictions < evictions) {
      push('the fence is evicted', (next) => {
        next.fence = null
        next.evictions += 1
        next.counted += 1
      })
    }
    if (state.failovers >= failovers) return
    if (!state.replica) push('the replica falls behind', (next) => (next.replica = copyRedis(next)))
    else {
      push('the replica is promoted', (next) => {
        // `w` came with it, so the pipeline rewinds to what it had applied by then.
        const { applied, applications } = next
        Object.assign(next, next.replica, this.#lacks('rewind') && { applied, applications })
        next.replica = null
        next.counted = 0
        next.failovers += 1
      })
    }
  }

  #fillerSteps(state: ModelState, index: number, push: (label: string, apply: Apply) => void): void {
    const filler = state.fillers[index]
    if (!filler) return
    const act = (label: string, apply: (next: ModelState, it: Filler) => void): void =>
      push(`f${index} ${label}`, (next) => apply(next, next.fillers[index] ?? filler))
    const clock = this.#clock(state)
    if (filler.known < clock && (filler.step === IDLE || this.#lacks('stamp first'))) {
      act(`learns ${clock}`, (next, it) => this.#learn(next, it, clock))
    }
    if (this.#mayRemember(state, filler))
      act('remembers the fence', (next, it) => this.#remember(next, it, { clock: it.known, isLong: true }))
    if (this.#mayLease(state, filler)) act(`leases with S=${filler.known}`, (next, it) => this.#lease(next, it))
    const ready = this.#touches === 'after the load' ? LOADED : TOUCHED
    if (filler.step === LEASED) {
      const step = this.#lacks('stamp first') ? UNSTAMPED : ready
      act('loads', (next, it) => Object.assign(it, { saw: next.visible, step }))
    }
    if (this.#bounds.ahead) this.#aheadSteps(state, filler, act)
    if (filler.step === UNSTAMPED) act('stamps', (_, it) => Object.assign(it, { stamp: it.known, step: ready }))
    if (filler.step === LOADED) act('touches', (next, it) => this.#touch(next, it))
    if (filler.step === TOUCHED) act('stores', (next, it) => this.#store(next, it))
  }

  #learn(next: ModelState, filler: Filler, clock: number): void {
    filler.known = clock
    if (this.#bounds.ahead) filler.sees = next.visible
  }

  #mayBegin({ step, runs }: Filler): boolean {
    return step === IDLE && runs < this.#bounds.runs
  }

  /** At any time before it stores, as long as nothing was evicted since its lease. */
  #mayRemember(state: ModelState, filler: Filler): boolean {
    if (this.#touches !== 'before') return false
    return this.#mayBegin(filler) || (filler.step === LEASED && filler.mark === this.#mark(state))
  }

  #mayLease(state: ModelState, filler: Filler): boolean {
    const isReady = this.#touches !== 'before' || filler.incarnation !== 0
    return this.#mayBegin(filler) && state.lease === 0 && isReady
  }

  #lease(next: ModelState, filler: Filler): void {
    next.leases += 1
    next.lease = next.leases
    if (this.#touches === 'with the lease') this.#remember(next, filler, { clock: 0, isLong: false })
    const { known, runs } = filler
    Object.assign(filler, { step: LEASED, lease: next.lease, stamp: known, runs: runs + 1, mark: this.#mark(next) })
  }

  /** The stamp is fixed and the load reads, at the latest when the claim is granted: a later one sees no less. */
  #loadAhead(next: ModelState, filler: Filler): void {
    next.leases += 1
    const { known, runs } = filler
    Object.assign(filler, { step: AHEAD, lease: next.leases, stamp: known, saw: next.visible, runs: runs + 1 })
  }

  /** The fence of a change of its own, which its stamp sees, brings the lease; or the claim comes too late. */
  #aheadSteps(
    state: ModelState,
    filler: Filler,
    act: (label: string, apply: (next: ModelState, it: Filler) => void) => void,
  ): void {
    if (this.#mayBegin(filler)) act('loads ahead', (next, it) => this.#loadAhead(next, it))
    if (filler.step !== AHEAD) return
    act('claims too late', (next, it) => this.#giveUp(next, it))
    for (let index = 0; index < this.#bounds.transactions; index++) {
      const isOwn = (filler.sees & (1 << index)) !== 0 && (state.applications[index] ?? 0) < 2
      if (isOwn) act(`fences x${index} and claims`, (next, it) => this.#claim(next, it, index))
    }
  }

  #claim(next: ModelState, filler: Filler, index: number): void {
    // The write path's stamp: of a snapshot that sees the change, and at most the one of the load.
    this.#invalidate(next, index, filler.stamp)
    // What is stored under a newer fence is useless, not stale.
    if (next.lease !== 0 || (next.fence && next.fence.clock > filler.stamp)) return this.#giveUp(next, filler)
    next.lease = filler.lease
    Object.assign(filler, { step: TOUCHED, incarnation: next.fence?.incarnation ?? 0, mark: this.#mark(next) })
  }

  /** Makes the fence exist and learns its incarnation before the load: whatever is applied from now on is found in it. */
  #remember(next: ModelState, filler: Filler, { clock, isLong }: Pick<ModelFence, 'clock' | 'isLong'>): void {
    if (!next.fence) {
      next.incarnations += 1
      next.fence = { clock, incarnation: next.incarnations, outlives: 0, isLong }
    }
    next.fence.isLong ||= isLong
    filler.known = Math.max(filler.known, next.fence.clock)
    filler.incarnation = next.fence.incarnation
  }

  /** As the script does it: fence and lease lie in different slots, so it does not look at the lease. */
  #touch(next: ModelState, filler: Filler): void {
    if (!next.fence) {
      next.incarnations += 1
      next.fence = { clock: filler.stamp, incarnation: next.incarnations, outlives: 0, isLong: true }
    } else if (next.fence.clock > filler.stamp) {
      filler.known = Math.max(filler.known, next.fence.clock)
      return this.#giveUp(next, filler)
    } else {
      next.fence.isLong = true
    }
    if (filler.mark !== this.#mark(next) && !this.#lacks('eviction mark')) return this.#giveUp(next, filler)
    filler.incarnation = next.fence.incarnation
    filler.step = TOUCHED
  }

  #mark({ counted, failovers }: ModelState): number {
    return counted + (this.#lacks('mark of one node') ? 0 : 10 * failovers)
  }

  #giveUp(next: ModelState, filler: Filler): void {
    filler.step = IDLE
    if (next.lease === filler.lease) next.lease = 0
  }

  #store(next: ModelState, filler: Filler): void {
    const isHeld = next.lease === filler.lease
    if (isHeld || this.#lacks('lease check')) {
      next.value = { stamp: filler.stamp, saw: filler.saw, incarnation: filler.incarnation }
    }
    if (isHeld) next.lease = 0
    if (isHeld && next.fence && this.#touches === 'with the lease') next.fence.isLong = true
    filler.step = IDLE
  }
}

/** Visits every state within the bounds: may a value be served that misses a change whose fence had been applied? */
export function explore(bounds: Bounds, without: Protection | null, options = { trace: false }): Exploration {
  return search(new FenceModel(bounds, without), options)
}
