import { FenceModel } from './fence-model.ts'
import { search, type Explorable, type Exploration, type Step } from './search.ts'
import { clockOfSet, type Bounds, type ModelState, type ModelValue } from './state.ts'

/**
 * The protections of a reading process, each of which can be taken away:
 * - `eviction`: a bus entry removes from L1 what it covers
 * - `mirror check`: whatever enters L1 is compared with the mirror in the same tick
 * - `older values`: a value from before the mirror's start enters only after its fences were read
 * - `presence`, `incarnation`: what those fences must be
 * - `vouching`: whoever answers them has applied everything that the start sums up; a promoted replica may not have
 * - `flush on attach`: L1 begins empty where the tail begins
 * - `ring`: a tail that began anew while fences were read, or a load ran, is noticed
 */
export const READER_PROTECTIONS = [
  'eviction',
  'mirror check',
  'older values',
  'presence',
  'incarnation',
  'vouching',
  'flush on attach',
  'ring',
] as const

/** One of the protections. */
export type ReaderProtection = (typeof READER_PROTECTIONS)[number]

/** A value on its way into L1. */
interface Candidate extends ModelValue {
  /** It came from Redis, so that its fences can be read; else it is an own load. */
  readonly isStored: boolean
  /** Its fences were read and agreed while the tail was this often attached; null before. */
  readonly agreedIn: number | null
}

/** The fence protocol and one process that reads through it. Everything here is replaced, never changed. */
interface ReaderState {
  readonly protocol: ModelState
  /** Changes in the order of their bus entries. */
  readonly bus: readonly number[]
  /** Entries that the replica had received when it fell behind. */
  readonly replicated: number
  /** Entries read; null while detached. */
  readonly position: number | null
  /** It has read entries that went with a failover: the next one will not follow, and until then it hears nothing. */
  readonly isAstray: boolean
  readonly attaches: number
  /** Greatest clock applied when the tail began. */
  readonly start: number
  /** Greatest fence heard since. */
  readonly mirror: number
  /** Changes (bit mask) that this process has applied, by the bus or by beginning behind them. */
  readonly heard: number
  readonly candidate: Candidate | null
  readonly loads: number
  readonly l1: ModelValue | null
}

const MAX_ATTACHES = 2
const MAX_LOADS = 1

/** Adds to the fence protocol a process with L1 and mirror, whose tail may lose its place. */
class ReaderModel implements Explorable<ReaderState> {
  readonly first: ReaderState
  readonly #protocol: FenceModel
  readonly #transactions: number
  readonly #without: ReaderProtection | null

  constructor(bounds: Bounds, without: ReaderProtection | null) {
    this.#protocol = new FenceModel(bounds, null)
    this.#transactions = bounds.transactions
    this.#without = without
    const protocol = this.#protocol.first
    const nothing = { position: null, attaches: 0, start: 0, mirror: 0, heard: 0, candidate: null, loads: 0, l1: null }
    this.first = { protocol, bus: [], replicated: 0, isAstray: false, ...nothing }
  }

  key(state: ReaderState): string {
    const { position, attaches, start, mirror, heard, candidate, loads, l1, replicated, isAstray } = state
    const value = (held: ModelValue | null): number[] => (held ? [held.stamp, held.saw, held.incarnation] : [0, 0, 0])
    const way = candidate ? [1, candidate.isStored ? 1 : 0, (candidate.agreedIn ?? -1) + 1] : [0, 0, 0]
    const tail = [(position ?? -1) + 1, isAstray ? 1 : 0, replicated, attaches, start]
    const own = [...tail, mirror, heard, loads, ...value(candidate), ...way, ...value(l1)]
    return `${this.#protocol.key(state.protocol)}|${String.fromCharCode(...own, ...state.bus)}`
  }

  serves({ l1, position }: ReaderState): boolean {
    return l1 !== null && position !== null
  }

  /** No resurrection: once a process has applied a change, it never again serves a value from before it. */
  isStale({ l1, heard }: ReaderState): boolean {
    return ((l1?.saw ?? 0) & heard) !== heard
  }

  next(state: ReaderState): Step<ReaderState>[] {
    const steps: Step<ReaderState>[] = this.#protocol.next(state.protocol).map(([label, protocol]) => {
      if (protocol.failovers > state.protocol.failovers) return [label, afterFailover(state, protocol)]
      const index = protocol.applications.findIndex((count, at) => count > (state.protocol.applications[at] ?? 0))
      const isFallingBehind = protocol.replica !== null && state.protocol.replica === null
      const replicated = isFallingBehind ? state.bus.length : state.replicated
      return [label, { ...state, protocol, replicated, bus: index === -1 ? state.bus : [...state.bus, index] }]
    })
    return [...steps, ...this.#tailSteps(state), ...this.#readSteps(state)]
  }

  #lacks(protection: ReaderProtection): boolean {
    return this.#without === protection
  }

  #tailSteps(state: ReaderState): Step<ReaderState>[] {
    const { protocol, bus, position, attaches } = state
    const steps: Step<ReaderState>[] = []
    if (position === null && attaches < MAX_ATTACHES) {
      const start = Math.max(clockOfSet(0, this.#transactions), ...bus.map((index) => protocol.released[index] ?? 0))
      const l1 = this.#lacks('flush on attach') ? state.l1 : null
      const tail = { position: bus.length, isAstray: false, attaches: attaches + 1, start }
      const fresh = { ...tail, mirror: 0, heard: protocol.applied, l1 }
      steps.push(['the tail attaches', { ...state, ...fresh }])
    }
    if (position === null) return steps
    if (attaches < MAX_ATTACHES || state.isAstray) {
      const l1 = this.#lacks('flush on attach') ? state.l1 : null
      steps.push(['the tail loses its place', { ...state, position: null, l1 }])
    }
    const index = bus[position]
    if (index === undefined || state.isAstray) return steps
    const clock = protocol.released[index] ?? 0
    const isCovered = state.l1 !== null && state.l1.stamp < clock && !this.#lacks('eviction')
    const heard = state.heard | (1 << index)
    const mirror = Math.max(state.mirror, clock)
    const next = { ...state, position: position + 1, mirror, heard, l1: isCovered ? null : state.l1 }
    return [...steps, [`the tail hears x${index}`, next]]
  }

  #readSteps(state: ReaderState): Step<ReaderState>[] {
    const { protocol, position, candidate, l1, start, mirror, loads } = state
    if (candidate === null) {
      const steps: Step<ReaderState>[] = []
      // A read begins where the layers may be read at all, and asks Redis only when L1 has nothing.
      if (position === null || l1 !== null) return steps
      if (protocol.value) {
        const read: Candidate = { ...protocol.value, isStored: true, agreedIn: null }
        steps.push(['the reader gets the value', { ...state, candidate: read }])
      }
      if (loads < MAX_LOADS) {
        const loaded = { stamp: Math.max(start, mirror), saw: protocol.visible, incarnation: 0 }
        const own: Candidate = { ...loaded, isStored: false, agreedIn: null }
        steps.push(['the reader loads', { ...state, candidate: own, loads: loads + 1 }])
      }
      return steps
    }
    const steps: Step<ReaderState>[] = [
      ['the reader judges', { ...state, candidate: null, l1: this.#kept(state, candidate) }],
    ]
    const canAsk = candidate.isStored && candidate.agreedIn === null && this.#isVouched(protocol, start)
    if (canAsk && this.#fencesAgree(protocol, candidate)) {
      steps.push(['the reader reads fences', { ...state, candidate: { ...candidate, agreedIn: state.attaches } }])
    }
    return steps
  }

  #kept({ position, start, mirror, attaches, l1 }: ReaderState, candidate: Candidate): ModelValue | null {
    const { stamp, saw, incarnation, agreedIn } = candidate
    if (position === null) return l1
    if (mirror > stamp && !this.#lacks('mirror check')) return l1
    const isOlder = stamp < start && !this.#lacks('older values')
    const hasAgreed = agreedIn === attaches || (this.#lacks('ring') && agreedIn !== null)
    return isOlder && !hasAgreed ? l1 : { stamp, saw, incarnation }
  }

  /** As the watermark of `w` says it: a watermark at or above the start sees every change released up to there. */
  #isVouched({ released, applied }: ModelState, start: number): boolean {
    if (this.#lacks('vouching')) return true
    return released.every((clock, index) => clock === 0 || clock > start || (applied & (1 << index)) !== 0)
  }

  #fencesAgree({ fence }: ModelState, { stamp, incarnation }: ModelValue): boolean {
    if (!fence) return this.#lacks('presence')
    return fence.clock <= stamp && (fence.incarnation === incarnation || this.#lacks('incarnation'))
  }
}

/** The bus is what the replica had of it; the process goes on where it was, and asks the promoted node. */
function afterFailover(state: ReaderState, protocol: ModelState): ReaderState {
  const { bus, replicated, position } = state
  const isAstray = state.isAstray || (position !== null && position > replicated)
  return { ...state, protocol, bus: bus.slice(0, replicated), replicated: 0, isAstray }
}

/** Visits every state within the bounds: may a process serve from L1 what misses a change that it has applied? */
export function exploreReader(
  bounds: Bounds,
  without: ReaderProtection | null,
  options = { trace: false },
): Exploration {
  return search(new ReaderModel(bounds, without), options)
}
