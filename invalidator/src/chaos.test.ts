import { EVERYTHING, classOf, classTag, generationOf, parseTag } from '@lockstep/schemas'
import type { LogEvent, Stamp, Tag } from '@lockstep/schemas'
import { FENCES_PER_ADVANCE } from '@lockstep/cache'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { UnsafeInvalidatorOptions } from './invalidator.ts'
import type { FenceState } from './testing/memory-fence-writer.ts'
import { CRASH_POINTS, CrashOnce, FailNext } from './testing/faulty.ts'
import type { CrashPoint, FaultPlan } from './testing/faulty.ts'
import { Rig, flush, productChange, stampAt, watermark } from './testing/rig.ts'

const PARTITIONS = 2

const PLAIN_ACTS = [
  'heartbeat',
  // More changes than go in one call.
  'burst',
  'garbage',
  // A flush that was sent before, to one partition: the connector sends nothing else between two sendings. A change of the
  // generation before, and a connector that begins again below all it had.
  'resend',
  'outdated',
  'amnesia',
  // Redis' writes reach a replica; it is promoted; all is lost.
  'persist',
  'regress',
  // The same in the middle of a batch.
  'regress midway',
  'empty',
  'replica',
  'wait',
] as const

type Act =
  | { readonly kind: 'change'; readonly partition: number; readonly id: number; readonly op: 'update' | 'truncate' }
  | { readonly kind: (typeof PLAIN_ACTS)[number] }
  | { readonly kind: 'crash' | 'fail'; readonly point: CrashPoint }

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      partition: fc.nat(PARTITIONS - 1),
      id: fc.integer({ min: 1, max: 4 }),
      op: fc.constantFrom('update' as const, 'update' as const, 'update' as const, 'truncate' as const),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: 'heartbeat' as const }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom(...PLAIN_ACTS) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('crash' as const, 'fail' as const),
      point: fc.constantFrom(...CRASH_POINTS),
    }),
  },
)

interface SentChange {
  readonly tag: Tag
  readonly stamp: Stamp
  /** Purges that had been sent before it. */
  readonly purgesBefore: number
}

/** Does something once, before the second call from now on that moves `w`. */
class BeforeSecondAdvance implements FaultPlan {
  #calls = 0
  readonly #act: () => void

  constructor(act: () => void) {
    this.#act = act
  }

  pass(point: string): void {
    if (point === 'before advance' && ++this.#calls === 2) this.#act()
  }
}

/** Plays connector, operator and misfortune around real services, and remembers what must come of it. */
class World {
  readonly rig: Rig
  readonly #unsafe: UnsafeInvalidatorOptions
  readonly #sent: SentChange[] = []
  readonly #plans: FaultPlan[] = []
  readonly violations: string[] = []
  #generation = 10_000
  readonly #used = new Set<number>()
  #forgotten = 0
  /** Requests from before it forgot, which it has answered. */
  #unseen = 0
  #xmax = 1
  #persisted: FenceState | null = null

  readonly #plainActs: Readonly<Record<(typeof PLAIN_ACTS)[number], () => unknown>> = {
    heartbeat: () => this.heartbeat(),
    burst: () => this.burst(),
    garbage: () => this.garbage(),
    resend: () => this.rig.send(0, this.#flush(false)),
    outdated: () => this.change(0, 1, 'update', this.#generation - 1),
    amnesia: () => this.forget(),
    persist: () => (this.#persisted = this.rig.writer.snapshot()),
    regress: () => this.regress(),
    'regress midway': () => this.#plans.push(new BeforeSecondAdvance(() => this.regress())),
    empty: () => this.rig.writer.empty(),
    replica: () => this.startService(),
    wait: () => this.rig.clock.advance(2_100),
  }

  constructor(rig: Rig, unsafe: UnsafeInvalidatorOptions) {
    this.rig = rig
    this.#unsafe = unsafe
    rig.writer.onAppend = () => this.#checkWatermark()
  }

  /** The promise of a watermark: whatever is visible in it is fenced, at the moment the bus tells anyone. */
  #checkWatermark(): void {
    const mark = this.rig.writer.state.bus.at(-1)?.entry.m ?? ''
    for (const { tag, stamp } of this.#sent) {
      const fence = this.rig.writer.fenceOf(tag)
      if (stamp <= mark && (fence === null || fence < stamp)) this.violations.push(`${tag} at ${stamp} under ${mark}`)
    }
  }

  regress(): void {
    if (this.#persisted !== null) this.rig.writer.restore(this.#persisted)
  }

  async forget(): Promise<void> {
    this.#forgotten += 1
    this.#unseen = this.rig.requests.length
    await this.begin(true, 10_000 - 100 * this.#forgotten)
  }

  async begin(edge: boolean, above = this.#generation): Promise<void> {
    this.#generation = above + 1
    // Generations are named by clocks: one is not begun twice, whatever was forgotten.
    while (this.#used.has(this.#generation)) this.#generation += 1
    this.#used.add(this.#generation)
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await this.rig.send(partition, this.#flush(edge))
    }
  }

  #flush(edge: boolean): LogEvent {
    return flush(this.#generation, { partitions: PARTITIONS, edge })
  }

  async startService(): Promise<void> {
    await this.rig.start({ plan: this.#plan(), unsafe: this.#unsafe })
  }

  #plan(): FaultPlan {
    return { pass: (point) => this.#plans.forEach((plan) => plan.pass(point)) }
  }

  async change(partition: number, id: number, op: 'update' | 'truncate', generation = this.#generation): Promise<void> {
    this.#xmax += 1
    const stamp = stampAt(generation, this.#xmax)
    const purgesBefore = this.rig.purges.length
    this.#sent.push({ tag: parseTag(`product:${id}`), stamp, purgesBefore })
    const whole = op === 'truncate' ? { op, before: {}, after: {} } : {}
    await this.rig.send(partition, productChange(id, stamp, whole))
  }

  async burst(): Promise<void> {
    for (let id = 0; id <= FENCES_PER_ADVANCE; id++) await this.change(0, id, 'update')
  }

  async heartbeat(): Promise<void> {
    // The connector: a request above what it owns changes nothing, one at its generation raises it.
    const open = this.rig.requests.slice(this.#unseen).find((request) => request.above >= this.#generation)
    if (open !== undefined) await this.begin(open.edge, open.above)
    this.#xmax += 1
    const echo = String(await this.rig.writer.redisTimeUs())
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await this.rig.send(partition, watermark(stampAt(this.#generation, this.#xmax), echo, PARTITIONS))
    }
  }

  async act(step: Act): Promise<void> {
    if (step.kind === 'change') await this.change(step.partition, step.id, step.op)
    else if (step.kind === 'crash') this.#plans.push(new CrashOnce(step.point, 1))
    else if (step.kind === 'fail') this.#plans.push(Object.assign(new FailNext(step.point), { left: 2 }))
    else await this.#plainActs[step.kind]()
  }

  async garbage(): Promise<void> {
    // What the record would have said: a change that nobody can read any more.
    this.#xmax += 1
    const stamp = stampAt(this.#generation, this.#xmax)
    this.#sent.push({ tag: parseTag('product:9'), stamp, purgesBefore: this.rig.purges.length })
    await this.rig.send(1, Buffer.from('unreadable'))
  }

  /** Mends everything and waits until the services have caught up. */
  async heal(): Promise<void> {
    this.#plans.length = 0
    await this.startService()
    for (let beat = 0; beat < 12; beat++) {
      await this.rig.clock.advance(2_100)
      await this.heartbeat()
      await this.rig.settle()
    }
  }

  /** Names every promise that is not kept now that all is quiet. */
  brokenPromises(): string[] {
    const { writer, purges } = this.rig
    const broken = [...this.violations]
    const mark = writer.state.bus.at(-1)?.entry.m
    if (mark !== stampAt(this.#generation, this.#xmax)) broken.push(`the watermark stands still at ${mark}`)
    for (const { tag, stamp, purgesBefore } of this.#sent) {
      const fence = writer.fenceOf(tag)
      // A generation from before the connector forgot it is over: nothing of it is valid under the one that stands.
      const isOver = generationOf(stamp) > (writer.state.w?.generation ?? 0)
      if (!isOver && (fence === null || fence < stamp)) broken.push(`${tag} at ${stamp} is not fenced`)
      const covering = [tag, classTag(classOf(tag)), EVERYTHING]
      const isPurged = purges.slice(purgesBefore).some((purge) => covering.includes(purge.tag))
      if (!isPurged) broken.push(`${tag} at ${stamp} is not purged`)
    }
    return broken
  }
}

async function live(acts: readonly Act[], unsafe: UnsafeInvalidatorOptions = {}): Promise<string[]> {
  const rig = await Rig.create(PARTITIONS)
  const world = new World(rig, unsafe)
  try {
    await world.startService()
    await world.begin(true)
    for (const step of acts) {
      await world.act(step)
      if (step.kind === 'heartbeat' || step.kind === 'wait') await rig.settle()
    }
    await world.heal()
    return world.brokenPromises()
  } finally {
    await rig.stop()
  }
}

describe('invalidator: any sequence of misfortunes', () => {
  test('every change ends fenced and purged, and no watermark ever promises what is not fenced', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 40, size: 'max' }), async (acts) => {
        expect(await live(acts)).toEqual([])
      }),
      { numRuns: 150 },
    )
  }, 60_000)

  const change: Act = { kind: 'change', partition: 0, id: 1, op: 'update' }
  const garbage: Act = { kind: 'garbage' }

  test('the edge is purged for an unreadable record although Redis was emptied and its first purge was never sent', async () => {
    const other: Act = { kind: 'change', partition: 1, id: 1, op: 'update' }
    const crash: Act = { kind: 'crash', point: 'before produce purges' }
    const acts: Act[] = [
      garbage,
      other,
      { kind: 'empty' },
      change,
      change,
      change,
      garbage,
      crash,
      { kind: 'heartbeat' },
    ]
    expect(await live(acts)).toEqual([])
  })

  const crashed: Act = { kind: 'crash', point: 'after advance' }

  test.each<[string, UnsafeInvalidatorOptions, Act[]]>([
    ['without plain fences', { skipFences: true }, [change]],
    ['with commits before the effects', { commitFirst: true }, [{ kind: 'wait' }, crashed, change, { kind: 'wait' }]],
  ])('the same check fails %s, and holds with them', async (_name, unsafe, acts) => {
    expect(await live(acts)).toEqual([])
    expect(await live(acts, unsafe)).not.toEqual([])
  })
})
