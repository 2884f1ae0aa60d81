import type { Stamp } from '@lockstep/schemas'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { settle } from './testing/fake-clock.ts'
import type { Point } from './testing/gated-store.ts'
import { createWorld, type Process, type World } from './testing/world.ts'
import type { UnsafeSwitches } from './types.ts'

const PROCESSES = 3
const IDS = ['1', '2'] as const
const CONTRACT_MS = 2_000
const POINTS: readonly Point[] = [
  'before value',
  'after value',
  'before fences',
  'after fences',
  'before lease',
  'after lease',
  'before touch',
  'before store',
  'before fence',
  'after fence',
  'after claim',
  'before attach',
  'before read',
  'after read',
]

type Id = (typeof IDS)[number]
type OfRow = 'read' | 'write' | 'write-through'
type OfProcess = 'hold-loads' | 'let-go' | 'cut' | 'mend'
type OfServer = 'category' | 'apply' | 'beat' | 'empty' | 'trim' | 'fall-behind' | 'promote' | 'generation'
type Act =
  | { readonly kind: OfRow; readonly by: number; readonly id: Id }
  | { readonly kind: 'evict'; readonly id: Id; readonly part: 'v' | 'l' | 'f' }
  | { readonly kind: 'hold'; readonly by: number; readonly point: Point }
  | { readonly kind: OfProcess; readonly by: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: OfServer }

const by = fc.nat(PROCESSES - 1)
const id = fc.constantFrom(...IDS)
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('read' as const), by, id }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('write' as const, 'write-through' as const), by, id }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom('apply' as const, 'beat' as const, 'beat' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(10, 400, 1_500, 12_000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('hold' as const), by, point: fc.constantFrom(...POINTS) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'hold-loads' as const,
        'let-go' as const,
        'let-go' as const,
        'cut' as const,
        'mend' as const,
      ),
      by,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('evict' as const), id, part: fc.constantFrom('v', 'l', 'f') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('category', 'empty', 'trim', 'fall-behind', 'promote', 'generation'),
    }) as fc.Arbitrary<Act>,
  },
)

interface Fencing {
  readonly tags: readonly string[]
  readonly stamp: Stamp
}

/** Plays database, pipeline and misfortune around real caches, and judges every answer. */
class Chaos {
  readonly #world: World
  readonly #processes: readonly Process[]
  readonly violations: string[] = []
  /** Commit time of each version of each row: index + 2 = version. */
  readonly #commits = new Map<Id, number[]>(IDS.map((id) => [id, []]))
  /** Newest version of each row that a process has written and told of. */
  readonly #own = new Map<string, number>()
  /** Changes in the log that are not applied yet, in order. */
  #pending: Fencing[] = []
  /** What was applied since the replica fell behind. */
  #sinceCopy: Fencing[] = []
  #promote: (() => void) | null = null
  #needsGeneration = false
  readonly #releases: (() => void)[][] = Array.from({ length: PROCESSES }, () => [])
  readonly #held: Set<Point>[] = Array.from({ length: PROCESSES }, () => new Set())
  readonly #running: Promise<unknown>[] = []

  readonly #ofRow: Readonly<Record<OfRow, (by: number, id: Id) => unknown>> = {
    read: (by, id) => void this.#read(by, id),
    write: (_, id) => this.#pending.push({ tags: [`product:${id}`], stamp: this.#commit(id) }),
    'write-through': (by, id) => {
      const stamp = this.#commit(id)
      this.#pending.push({ tags: [`product:${id}`], stamp })
      this.#tell(by, id, stamp)
    },
  }
  readonly #ofProcess: Readonly<Record<OfProcess, (by: number) => unknown>> = {
    'hold-loads': (by) => this.#releases[by]?.push(this.#processes[by]?.holdLoads() ?? (() => undefined)),
    'let-go': (by) => this.#letGo(by),
    cut: (by) => this.#processes[by]?.gates.fail(new Error('cut off')),
    mend: (by) => this.#processes[by]?.gates.fail(null),
  }
  readonly #ofServer: Readonly<Record<OfServer, () => unknown>> = {
    category: () => this.#pending.push({ tags: ['category:7'], stamp: this.#commit(...IDS) }),
    apply: () => this.#apply(),
    beat: () => this.#beat(),
    generation: () => (this.#needsGeneration = true),
    trim: () => this.#world.server.trimBus(),
    empty: () => {
      this.#needsGeneration = true
      this.#promote = null
      this.#world.server.flushAll()
    },
    'fall-behind': () => {
      this.#sinceCopy = []
      this.#promote = this.#world.server.fallBehind()
    },
    promote: () => {
      this.#promote?.()
      // The pipeline rewinds to what the promoted node has.
      if (this.#promote) this.#pending = [...this.#sinceCopy, ...this.#pending]
      this.#promote = null
      this.#sinceCopy = []
    },
  }

  constructor(world: World, processes: readonly Process[]) {
    this.#world = world
    this.#processes = processes
  }

  get #now(): number {
    return this.#world.clock.now()
  }

  /** The version that was there for longer than the contract when a read begins: the answer must not be older. */
  #least(by: number, id: Id): number {
    const due = this.#commits.get(id)?.filter((at) => at < this.#now - CONTRACT_MS) ?? []
    return Math.max(1 + due.length, this.#own.get(`${by}/${id}`) ?? 1)
  }

  /** Resolves to whether there was an answer. */
  #read(by: number, id: Id): Promise<boolean> {
    const least = this.#least(by, id)
    const begun = this.#now
    const judge = (version: number): boolean => {
      if (version < least) this.violations.push(`process ${by} answered ${id}@${version} at ${begun}, ${least} was due`)
      return true
    }
    const answer = this.#processes[by]?.products.get(id) ?? Promise.reject(new Error('no such process'))
    const read = answer.then(
      (row) => judge(row?.version ?? 0),
      () => false,
    )
    this.#running.push(read)
    return read
  }

  #commit(...ids: readonly Id[]): Stamp {
    for (const id of ids) {
      this.#world.write(id)
      this.#commits.get(id)?.push(this.#now)
    }
    return this.#world.pipeline.commit()
  }

  #tell(by: number, id: Id, stamp: Stamp): void {
    const version = this.#world.version(id)
    const telling = this.#processes[by]?.products.invalidate(id, stamp).then(
      () => void this.#own.set(`${by}/${id}`, Math.max(version, this.#own.get(`${by}/${id}`) ?? 0)),
      () => undefined,
    )
    if (telling) this.#running.push(telling)
  }

  async #apply(): Promise<void> {
    const next = this.#pending.shift()
    if (!next) return
    await this.#begin()
    await this.#world.pipeline.fence(next.tags, next.stamp)
    this.#sinceCopy.push(next)
  }

  async #begin(): Promise<void> {
    if (!this.#needsGeneration) return
    this.#needsGeneration = false
    await this.#world.pipeline.open()
    // What a flush covers needs no fences, and a replica of the generation before none of these.
    this.#promote = null
    this.#sinceCopy = []
  }

  async #beat(): Promise<void> {
    await this.#world.clock.advance(50)
    while (this.#pending.length > 0) await this.#apply()
    await this.#begin()
    await this.#world.pipeline.heartbeat()
  }

  async act(step: Act): Promise<void> {
    await this.#do(step)
    await settle()
  }

  #do(step: Act): unknown {
    const { server, clock } = this.#world
    if (step.kind === 'evict') return server.strings.delete(`${step.part}:product:${step.id}`)
    if (step.kind === 'wait') return clock.advance(step.ms)
    if (step.kind === 'hold') return this.#hold(step.by, step.point)
    if ('id' in step) return this.#ofRow[step.kind](step.by, step.id)
    return 'by' in step ? this.#ofProcess[step.kind](step.by) : this.#ofServer[step.kind]()
  }

  #hold(by: number, point: Point): void {
    const held = this.#held[by]
    // A second gate at a point would hide the first.
    if (!held || held.has(point)) return
    held.add(point)
    this.#processes[by]?.gates.hold(point)
  }

  #letGo(by: number): void {
    for (const release of this.#releases[by]?.splice(0) ?? []) release()
    this.#held[by]?.clear()
    this.#processes[by]?.gates.openAll()
  }

  /** Lets everything go on and end. */
  async end(): Promise<void> {
    this.#processes.forEach((process, by) => {
      this.#letGo(by)
      process.gates.fail(null)
    })
    for (let beat = 0; beat < 60; beat++) await this.#beat()
    const mended: Promise<unknown>[] = []
    for (let by = 0; by < PROCESSES; by++) for (const id of IDS) mended.push(this.#read(by, id))
    await this.#world.clock.advance(30_000)
    await Promise.all(this.#running)
    if ((await Promise.all(mended)).includes(false)) this.violations.push('a read failed although all was mended')
  }
}

async function live(acts: readonly Act[], unsafe: UnsafeSwitches = {}): Promise<string[]> {
  const world = await createWorld()
  const processes: Process[] = []
  for (let by = 0; by < PROCESSES; by++) processes.push(await world.process({ maxStalenessMs: CONTRACT_MS, unsafe }))
  const chaos = new Chaos(world, processes)
  for (const step of acts) await chaos.act(step)
  await chaos.end()
  await world.end()
  return chaos.violations
}

const anyLife = (unsafe: UnsafeSwitches = {}) =>
  fc.asyncProperty(fc.array(act, { maxLength: 60, size: 'max' }), async (acts) => {
    const violations = await live(acts, unsafe)
    if (violations.length > 0) throw new Error(violations.join(', '))
  })

describe('cache: any sequence of reads, writes and misfortunes', () => {
  test('no read is answered by what was replaced before the contract, or by the process itself', async () => {
    const { counterexample, errorInstance } = await fc.check(anyLife(), { numRuns: 100 })
    expect([counterexample, errorInstance]).toEqual([null, null])
  }, 120_000)

  test.each([
    'ignoreFences',
    'ignoreFreshness',
    'ignoreGaps',
    'blindPromotion',
    'shareAnyFlight',
    'stampAfterLoad',
  ] as const)(
    'the same law is broken with %s',
    async (protection) => {
      const found = await fc.check(anyLife({ [protection]: true }), { seed: 1, numRuns: 400, endOnFailure: true })
      expect(String(found.errorInstance)).toContain('was due')
    },
    120_000,
  )
})
