import { TOPICS } from '@lockstep/runtime'
import type { EventLog, LogRecord } from '@lockstep/runtime'
import { EVERYTHING, ZERO_LSN, encodeEvent, epochStart, formatLsn, isClassTag } from '@lockstep/schemas'
import type { BusFence, DeadLetter, Watermark } from '@lockstep/schemas'
import { busFenceOf, coalesce } from './coalesce.ts'
import type { Effect, Item } from './derive.ts'
import type { GenerationNeed } from './generation-requests.ts'
import type { InvalidatorMetrics } from './metrics.ts'
import { judge } from './position.ts'
import type { PartitionMemory, Verdict } from './position.ts'
import { lastWatermark, planSteps } from './plan.ts'
import type { ApplyStep, OpenStep, Step } from './plan.ts'
import type { AdvanceReply, FenceWriter } from './ports.ts'
import { NO_BUS_ENTRY, PurgeLedger } from './purge-ledger.ts'

/** One batch, read: where it stands in the log and what its records ask for. */
export interface DerivedBatch {
  readonly partition: number
  /** Offset that the log was asked for. */
  readonly firstOffset: bigint
  readonly nextOffset: bigint
  readonly items: readonly Item[]
}

/** `done`: every effect is durable. `rewind`: nothing of the batch counts, deliver again from `to`; `w` stands at `stands`. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'rewind'; readonly to: bigint; readonly stands: bigint }

/** What applying needs; all of it may fail at any call, and then the batch is applied again from its start. */
export interface ApplyDeps {
  readonly writer: FenceWriter
  readonly log: Pick<EventLog, 'produce'>
  readonly ask: (need: GenerationNeed) => Promise<unknown>
  readonly metrics: InvalidatorMetrics
  /** Wall clock, µs since the Unix epoch; for measuring only. */
  readonly wallUs: () => bigint
  /** Breaks the promise on purpose: plain fences are left out. Tests only. */
  readonly unsafeSkipFences?: boolean | undefined
  /** Breaks the promise on purpose: takes what `w` has lost for applied. Tests only. */
  readonly unsafeSkipRewind?: boolean | undefined
}

// One request to the log; a batch of 500 records rarely owes more.
const RECORDS_PER_PRODUCE = 1_000
// Four whole ones hold up Redis for 4 ms, while other clients' commands go in between.
const STEPS_AHEAD = 4
// `w` moves under us only when another process owns the partition too; it is then that process's turn.
const MAX_ANSWERS_PER_STEP = 8

/** A step as it was, or will be, sent: its call may be repeated from further on. */
interface Sending {
  readonly step: ApplyStep
  readonly effects: readonly Effect[]
  readonly fences: readonly BusFence[]
  readonly watermark: Watermark | undefined
}

/**
 * Applies one batch: `advance` for each of its steps (fences, position, watermark and bus at once), then dead letters
 * and purge commands. The caller commits after that. Each part may be repeated, so a crash anywhere between them, or a
 * failed call, is answered by applying the batch again:
 *
 * - Before `advance` nothing has moved.
 * - After `advance` `w` stands past the step's start. The same fences then travel in a step that begins where `w`
 *   stands, which moves nothing back, and the purges, which may never have been sent, wait for that entry.
 *
 * Records that `w` refuses (`absent`, `unknown`, behind a hole) are nevertheless done with. For L1 and L2, `w` stays
 * where it is, whatever offset the log has stored, until a flush behind these records opens a newer generation, whose
 * fence of `*` covers them; a position that Redis remembers after all makes us rewind. For the edge, their purges are
 * sent at once behind `NO_BUS_ENTRY`. So the batch can be committed, and no state of ours has to survive.
 */
export class BatchRun {
  readonly #deps: ApplyDeps
  readonly #batch: DerivedBatch
  /** What the partition looks like after this run; to be adopted only when the run ended, so that a repetition owes the same. */
  readonly memory: PartitionMemory
  readonly #ledger = new PurgeLedger()
  readonly #covered: Effect[] = []
  readonly #sent = new Map<Step, { readonly sending: Sending; readonly reply: Promise<AdvanceReply> }>()
  #need: GenerationNeed | null = null

  constructor(deps: ApplyDeps, batch: DerivedBatch, memory: Readonly<PartitionMemory>) {
    this.#deps = deps
    this.#batch = batch
    this.memory = { ...memory }
  }

  /** Applies the batch once. @throws whatever Redis or the log threw; the batch is then to be run again. */
  async run(): Promise<Outcome> {
    const { items, firstOffset, nextOffset } = this.#batch
    const { newestGeneration: newest } = this.memory
    const [first] = items
    // A log that answers with older offsets began anew, and what its predecessor held is lost.
    if (first !== undefined && first.offset < firstOffset) this.#lose(first.offset, 'log-gap')
    const steps = planSteps(items, { first: firstOffset, next: nextOffset, newest })
    try {
      for (const [index, step] of steps.entries()) {
        const outcome = step.kind === 'open' ? await this.#open(step) : await this.#apply(step, steps.slice(index + 1))
        if (outcome.kind === 'rewind') return outcome
      }
    } finally {
      await this.#forgetSent()
    }
    await this.#publish()
    // Last, so that a flush of this batch has answered what its records asked for.
    if (this.#need !== null) await this.#deps.ask(this.#need)
    return DONE
  }

  async #apply(step: ApplyStep, following: readonly Step[]): Promise<Outcome> {
    if (step.isCovered) {
      this.#covered.push(...effectsOf(step.items))
      return DONE
    }
    for (const item of step.items) if (item.kind !== 'unreadable') this.#meet(item)
    const { sending, reply } = this.#sendAhead(step, following)
    let { from, to } = step
    let answer = await reply
    this.#sent.delete(step)
    // What was sent behind it began where `w` does not stand, but may soon.
    if (answer.kind === 'stands') await this.#forgetSent()
    for (let answers = 1; ; answers++) {
      const verdict = this.#judge(answer, from)
      if (verdict.kind === 'behind') {
        from = verdict.below
        to = from > to ? from : to
      } else if (verdict.kind === 'rewind' && this.#deps.unsafeSkipRewind === true) {
        from = verdict.to
      } else return this.#conclude(verdict, { sending, from, to })
      if (answers === MAX_ANSWERS_PER_STEP) return this.#rewind(this.#batch.firstOffset)
      answer = await this.#advance(sending, from, to)
    }
  }

  /**
   * Sends a step, unless it is on its way, and those that follow at once: each begins where the one before it leaves `w`, so
   * behind a step that `w` refuses it refuses all.
   */
  #sendAhead(step: ApplyStep, following: readonly Step[]) {
    const sent = this.#sent.get(step) ?? this.#send(step)
    for (const next of following.slice(0, STEPS_AHEAD - 1)) {
      if (next.kind === 'open' || next.isCovered) break
      if (!this.#sent.has(next)) this.#send(next)
    }
    return sent
  }

  #send(step: ApplyStep) {
    const effects = coalesce(effectsOf(step.items))
    const sending = { step, effects, fences: this.#fencesOf(effects), watermark: lastWatermark(step.items) }
    const sent = { sending, reply: this.#advance(sending, step.from, step.to) }
    this.#sent.set(step, sent)
    // Whoever comes to this step throws it; it may fail before that.
    sent.reply.catch(() => undefined)
    return sent
  }

  /** Waits for what is on its way; its answers count no more. */
  async #forgetSent(): Promise<void> {
    await Promise.allSettled([...this.#sent.values()].map(({ reply }) => reply))
    this.#sent.clear()
  }

  #advance({ fences, watermark }: Sending, from: bigint, to: bigint): Promise<AdvanceReply> {
    return this.#deps.writer.advance({
      partition: this.#batch.partition,
      from,
      to,
      fences,
      watermark: watermark && {
        stamp: watermark.stamp,
        echo: watermark.echo,
        partitions: watermark.partitions,
        lsn: formatLsn(watermark.lsn),
      },
    })
  }

  #judge(reply: AdvanceReply, from: bigint): Verdict {
    const holdsRecordFrom = (offset: bigint): boolean =>
      this.#batch.items.some((item) => item.offset >= offset && item.offset < from)
    return judge(reply, { from, firstOffset: this.#batch.firstOffset, holdsRecordFrom }, this.memory)
  }

  #fencesOf(effects: readonly Effect[]): BusFence[] {
    if (this.#deps.unsafeSkipFences !== true) return effects.map(busFenceOf)
    return effects.filter(({ tag }) => tag === EVERYTHING || isClassTag(tag)).map(busFenceOf)
  }

  async #conclude(
    verdict: Exclude<Verdict, { kind: 'behind' }>,
    done: { readonly sending: Sending; readonly from: bigint; readonly to: bigint },
  ): Promise<Outcome> {
    const { memory } = this
    const { sending, from, to } = done
    const { step, effects } = sending
    if (verdict.kind === 'rewind') return this.#rewind(verdict.to)
    if (verdict.kind === 'applied') {
      memory.position = to
      memory.brokenAt = memory.unknownSinceUs = null
      if (to > from) memory.rewoundTo = null
      this.#ledger.owe(effects, verdict.busId, 'change')
      this.#deps.metrics.applied(step.items, this.#batch.partition)
      await this.#noteOutdated(verdict.outdatedBy, step.items)
    } else {
      this.#ledger.owe(effects, NO_BUS_ENTRY, 'change')
      await this.#refuse(verdict, step.items)
    }
    if (step.endsUnreadable && to === step.to) {
      if (verdict.kind === 'applied') memory.brokenAt = to
      this.#lose(to, 'unreadable-record')
    } else if (step.endsUnreadable) {
      // Where `w` stands past the record, a flush has covered it, which may have said that the edge has missed nothing.
      this.#ledger.owe([this.#everything(memory.newestGeneration, step.to)], NO_BUS_ENTRY, 'unreadable-record')
    }
    return DONE
  }

  async #refuse(verdict: Extract<Verdict, { kind: 'broken' | 'absent' | 'unknown' }>, items: readonly Item[]) {
    const { memory } = this
    this.#deps.metrics.refused(verdict.kind)
    if (verdict.kind === 'absent') {
      memory.brokenAt = memory.unknownSinceUs = null
      this.#need = this.#newer('redis-emptied', false)
    } else if (verdict.kind === 'broken') {
      memory.brokenAt = verdict.at
      if (verdict.isNew) this.#lose(verdict.at, 'log-gap')
      this.#need ??= this.#newer('log-gap')
    } else if (memory.unknownSinceUs === null) {
      memory.unknownSinceUs = await this.#deps.writer.redisTimeUs()
    } else if (wasWrittenAfter(memory.unknownSinceUs, items)) {
      // This watermark was taken after `w` had begun its generation, so that generation's flush stood before it.
      this.#need = this.#newer('flush-missed')
    }
  }

  /**
   * Records of an older generation are met again after a restart, and their watermarks are old. One that was taken
   * after we had met the first is new: the connector has fallen behind Redis (its table of epochs was dropped, or
   * another process raised the generation), and what it writes fences nothing until it has passed it.
   */
  async #noteOutdated(outdatedBy: number | undefined, items: readonly Item[]): Promise<void> {
    const { memory } = this
    if (outdatedBy === undefined) {
      if (items.length > 0) memory.outdatedSinceUs = null
    } else if (memory.outdatedSinceUs === null) {
      memory.outdatedSinceUs = await this.#deps.writer.redisTimeUs()
    } else if (wasWrittenAfter(memory.outdatedSinceUs, items)) {
      this.#need = { above: outdatedBy, reason: 'generation-behind', edge: true }
    }
  }

  /**
   * Takes records for lost. An unreadable one counts as lost too: the stamp of its change is not known, the newest
   * stamp met here may be older than it, and a fence that is too old protects nothing. Only a generation covers it.
   * The edge is purged of everything right away as well, because the generation may have been granted to someone who
   * told the connector that the edge had missed nothing.
   */
  #lose(at: bigint, reason: 'log-gap' | 'unreadable-record'): void {
    this.#need = this.#newer(reason)
    this.#deps.metrics.gap(reason)
    this.#ledger.owe([this.#everything(this.memory.newestGeneration, at)], NO_BUS_ENTRY, reason)
  }

  #newer(reason: GenerationNeed['reason'], edge = true): GenerationNeed {
    const { newestGeneration, heldGeneration } = this.memory
    return { above: Math.max(newestGeneration, heldGeneration), reason, edge }
  }

  async #open(step: OpenStep): Promise<Outcome> {
    const { flush, offset } = step
    const { partition } = this.#batch
    const { generation, partitions } = flush
    const { memory } = this
    const isNewer = generation > memory.newestGeneration
    const isRepeated = !isNewer && offset > memory.newestSince
    const reply = await this.#deps.writer.open({ generation, partition, next: offset + 1n, partitions, isRepeated })
    const busId = reply.kind === 'absent' ? NO_BUS_ENTRY : reply.busId
    if (reply.kind === 'older') memory.heldGeneration = reply.generation
    if (reply.kind === 'absent') await this.#refuse(reply, [])
    else if (reply.kind === 'opened' || isNewer) {
      memory.position = reply.kind === 'older' ? null : offset + 1n
      memory.brokenAt = memory.unknownSinceUs = null
      // Only who begins a generation is surely placed behind its flush.
      if (reply.kind === 'opened') memory.rewoundTo = null
      this.#need = null
    }
    this.#meet({ generation, offset })
    if (isNewer) this.#ledger.owe(this.#covered.splice(0), busId, 'change')
    // The partition that opened purges at once. Should it crash before, its repetition only joins, so partition 0
    // always purges as well: at least once, and never once per partition.
    if (flush.edge && (reply.kind === 'opened' || partition === 0)) {
      this.#ledger.owe([this.#everything(generation, offset)], busId, flush.reason)
    }
    if (reply.kind === 'opened') this.#deps.metrics.opened(flush)
    return DONE
  }

  #meet({ generation, offset }: { readonly generation: number; readonly offset: bigint }): void {
    const { memory } = this
    const isNewer = generation > memory.newestGeneration
    if (isNewer || (generation === memory.newestGeneration && offset < memory.newestSince)) memory.newestSince = offset
    if (isNewer) memory.newestGeneration = generation
  }

  async #publish(): Promise<void> {
    const letters = this.#batch.items.flatMap((item) => ('letter' in item && item.letter ? [item.letter] : []))
    await this.#produce(TOPICS.deadLetters, letters.map(letterRecord))
    for (const letter of letters) this.#deps.metrics.deadLetter(letter)
    await this.#produce(TOPICS.purges, this.#ledger.records(this.#batch.partition))
  }

  async #produce(topic: string, records: readonly LogRecord[]): Promise<void> {
    for (let start = 0; start < records.length; start += RECORDS_PER_PRODUCE) {
      await this.#deps.log.produce(topic, records.slice(start, start + RECORDS_PER_PRODUCE))
    }
  }

  #rewind(position: bigint): Outcome {
    // Never past our own start: steps before this one may still owe purges, which their repetition sends.
    const { firstOffset } = this.#batch
    return { kind: 'rewind', to: position < firstOffset ? position : firstOffset, stands: position }
  }

  #everything(generation: number, offset: bigint): Effect {
    const commitTimeUs = this.#deps.wallUs()
    return { tag: EVERYTHING, stamp: epochStart(generation), commitLsn: ZERO_LSN, commitTimeUs, offset }
  }
}

const DONE: Outcome = { kind: 'done' }

function* effectsOf(items: readonly Item[]): Generator<Effect> {
  for (const item of items) if (item.kind === 'change') yield* item.effects
}

function wasWrittenAfter(redisTimeUs: bigint, items: readonly Item[]): boolean {
  const echo = lastWatermark(items)?.echo ?? ''
  return echo !== '' && BigInt(echo) >= redisTimeUs
}

function letterRecord(letter: DeadLetter): LogRecord {
  return { key: `${letter.topic}-${letter.partition}`, value: encodeEvent(letter) }
}
