import { EVERYTHING, ZERO_STAMP, classOf, epochStart, generationOf, isClassTag, maxStamp } from '@lockstep/schemas'
import type { BusEntry, Stamp, Tag } from '@lockstep/schemas'
import type { AdvanceBatch, AdvanceReply, FenceWriter, OpenReply, OpenRequest } from '../ports.ts'

interface WatermarkState {
  generation: number
  partitions: number
  positions: Map<number, bigint>
  classes: Map<string, Stamp>
  watermarks: Map<number, { readonly stamp: Stamp; readonly echo: string }>
  everything: Stamp
  max: Stamp
  lastNonce: string
}

/** Everything a Redis of one namespace holds, as plain data. */
export interface FenceState {
  readonly fences: Map<Tag, Stamp>
  readonly bus: { readonly id: string; readonly entry: BusEntry }[]
  w: WatermarkState | null
}

/**
 * Keeps the writer's half of the fence protocol in memory, with its whole state open to tests: `snapshot` and
 * `restore` lose Redis' last writes, `empty` is FLUSHALL. Passes the same contract as the adapter for Redis.
 */
export class MemoryFenceWriter implements FenceWriter {
  state: FenceState = { fences: new Map(), bus: [], w: null }
  /** Called after each bus entry: where an oracle looks. */
  onAppend: (() => void) | null = null
  readonly #nowUs: () => bigint
  #sequence = 0

  constructor(nowUs: () => bigint) {
    this.#nowUs = nowUs
  }

  advance(batch: AdvanceBatch): Promise<AdvanceReply> {
    raisePlain(this.state.fences, batch)
    const { w } = this.state
    if (w === null) return Promise.resolve({ kind: 'absent' })
    const stands = w.positions.get(batch.partition)
    if (stands === undefined) return Promise.resolve({ kind: 'unknown' })
    if (stands !== batch.from) return Promise.resolve({ kind: 'stands', offset: stands })
    w.positions.set(batch.partition, batch.to)
    for (const [tag, text] of batch.fences) raise(w, tag as Tag, text as Stamp)
    const isOutdated = generationOf(newestOf(batch)) < w.generation
    if (batch.watermark !== undefined && generationOf(batch.watermark.stamp) >= w.generation) {
      const { stamp, echo, partitions } = batch.watermark
      const known = w.watermarks.get(batch.partition)
      w.watermarks.set(batch.partition, {
        stamp: maxStamp(known?.stamp ?? ZERO_STAMP, stamp),
        echo: Number(known?.echo ?? '') < Number(echo) ? echo : (known?.echo ?? echo),
      })
      w.partitions = partitions
    }
    const busId = this.#append(w, batch.fences)
    return Promise.resolve({ kind: 'applied', busId, ...(isOutdated ? { outdatedBy: w.generation } : {}) })
  }

  open({ generation, partition, next, partitions, isRepeated = false }: OpenRequest): Promise<OpenReply> {
    const { w } = this.state
    const lastId = this.state.bus.at(-1)?.id ?? '0-0'
    if (w !== null && w.generation > generation) {
      if (w.positions.get(partition) === next - 1n) w.positions.set(partition, next)
      return Promise.resolve({ kind: 'older', busId: lastId, generation: w.generation })
    }
    if (w?.generation === generation) {
      // A flush that was sent twice must not carry a known position past records that were never applied.
      const stands = w.positions.get(partition)
      if (stands === undefined ? !isRepeated : stands === next - 1n) w.positions.set(partition, next)
      return Promise.resolve({ kind: 'joined', busId: lastId })
    }
    if (isRepeated) return Promise.resolve({ kind: 'absent' })
    const start = epochStart(generation)
    const opened: WatermarkState = {
      generation,
      partitions,
      positions: new Map([[partition, next]]),
      classes: new Map(),
      watermarks: new Map(),
      everything: start,
      max: start,
      lastNonce: '',
    }
    this.state.w = opened
    return Promise.resolve({ kind: 'opened', busId: this.#append(opened, [[EVERYTHING, start, 0]]) })
  }

  redisTimeUs(): Promise<bigint> {
    return Promise.resolve(this.#nowUs())
  }

  /** The least stamp that a value with this tag needs now; null while nothing is valid. */
  fenceOf(tag: Tag): Stamp | null {
    const { w, fences } = this.state
    if (w === null) return null
    const ofTag = maxStamp(w.everything, fences.get(tag) ?? ZERO_STAMP)
    return maxStamp(ofTag, w.classes.get(classOf(tag)) ?? ZERO_STAMP)
  }

  /** Forgets everything, as FLUSHALL does. */
  empty(): void {
    this.state = { fences: new Map(), bus: [], w: null }
  }

  /** Copies the state, as a persisted file or a replica would hold it. */
  snapshot(): FenceState {
    return structuredClone(this.state)
  }

  /** Goes back to an older state: what was written since is lost. */
  restore(state: FenceState): void {
    this.state = structuredClone(state)
  }

  #append(w: WatermarkState, f: BusEntry['f']): string {
    this.#sequence += 1
    const nonce = String(this.#sequence)
    const id = `${this.#sequence}-0`
    const marks = Array.from({ length: w.partitions }, (_, partition) => w.watermarks.get(partition))
    const m = leastOf(marks.map((mark) => mark?.stamp ?? ''))
    const r = leastOf(marks.map((mark) => mark?.echo ?? ''))
    this.state.bus.push({ id, entry: { n: nonce, p: w.lastNonce, f, m, r, l: '' } })
    w.lastNonce = nonce
    this.onAppend?.()
    return id
  }
}

/** The newest stamp of a batch; without any, one that no generation is newer than. */
function newestOf({ fences, watermark }: AdvanceBatch): Stamp {
  const stamps = [...fences.map(([, text]) => text as Stamp), ...(watermark === undefined ? [] : [watermark.stamp])]
  const [first = 'f'.repeat(ZERO_STAMP.length) as Stamp] = stamps
  return stamps.reduce(maxStamp, first)
}

/** The least of texts of one length; '' while any of them is unknown. */
function leastOf(texts: readonly string[]): string {
  return texts.reduce((least, text) => (text < least ? text : least), texts[0] ?? '')
}

function raisePlain(known: Map<Tag, Stamp>, { fences }: AdvanceBatch): void {
  for (const [name, text] of fences) {
    const tag = name as Tag
    if (tag !== EVERYTHING && !isClassTag(tag)) known.set(tag, maxStamp(known.get(tag) ?? ZERO_STAMP, text as Stamp))
  }
}

function raise(w: WatermarkState, tag: Tag, stamp: Stamp): void {
  if (generationOf(stamp) < w.generation) return
  w.max = maxStamp(w.max, stamp)
  if (tag === EVERYTHING) w.everything = maxStamp(w.everything, stamp)
  else if (isClassTag(tag)) {
    const tagClass = classOf(tag)
    w.classes.set(tagClass, maxStamp(w.classes.get(tagClass) ?? ZERO_STAMP, stamp))
  }
}
