import { setTimeout as pause } from 'node:timers/promises'
import type { UnsafeSwitches } from '@lockstep/cache'
import { pollUntil } from '@lockstep/servers'
import { afterEach, expect } from 'vitest'
import type { LoggedRead } from '../pgbench/history.ts'
import { pgbench } from '../pgbench/pgbench.ts'
import { World } from '../pgbench/world.ts'
import { lockstep, type TestProcess } from '../process.ts'
import type { RedisTarget } from './faults.ts'

const CONTRACT_MS = 1_000
// The oracle has the time of the commit record; the contract runs from visibility, which a busy machine delays.
const COMMIT_TO_VISIBLE_MS = 100
/** Well past the contract; `LOCKSTEP_REDIS_FAULT_MS=30000` stops processes for as long as the issue says. */
const FAULT_MS = Number(process.env['LOCKSTEP_REDIS_FAULT_MS'] ?? 1_500)
const COMMITS_PER_SECOND = 100
const WARM_UP_MS = 1_500
const NORMAL_WITHIN_MS = 15_000
/** About a tenth of a second of one reader's log. */
const TAIL_BYTES = 16_384
/** A command that times out (100 ms), a lease that nobody answers, a load; a machine of two cores runs everything. */
const P99_MS = 500

/** What a fault is done to. */
export interface Target {
  readonly world: World
}

/** How long a fault lasts, ms. */
export interface Lasting {
  readonly ms: number
}

/** One fault: resolves when everything is as before, though not yet recovered. */
export interface Fault<T extends Target> {
  readonly name: string
  inject(target: T & Lasting): Promise<void>
  /** Processes whose own reads wait meanwhile, because it is they who are stopped. */
  readonly stops?: readonly number[] | undefined
}

/** What readers saw from one fault until the next. */
export interface Report {
  readonly fault: string
  readonly reads: number
  readonly stale: number
  readonly fromNowhere: number
  readonly maxStalenessMs: number
  readonly p99Ms: number
  /** From the end of the fault to the first answer of every reader's L1. */
  readonly normalAfterMs: number
}

interface Span {
  readonly fault: Pick<Fault<Target>, 'name' | 'stops'>
  readonly fromUs: number
  readonly healedUs: number
  readonly toUs: number
}

const nowUs = (): number => (performance.timeOrigin + performance.now()) * 1000
const roundMs = (us: number): number => Math.round(us / 100) / 10

/** A world whose readers read, to which faults happen one after the other while pgbench writes. */
export class FaultRun<T extends Target> {
  readonly #target: T
  readonly #world: World
  readonly #spans: Span[] = []

  constructor(target: T) {
    this.#target = target
    this.#world = target.world
  }

  async suffer(faults: readonly Fault<T>[], ms = FAULT_MS): Promise<Report[]> {
    const seconds = Math.ceil(((ms + NORMAL_WITHIN_MS) * faults.length) / 1000)
    const writing = pgbench(
      this.#world.postgres.url,
      ['-n', '-c', '4', '-R', String(COMMITS_PER_SECOND), '-T', String(seconds)],
      true,
    )
    await pause(WARM_UP_MS)
    for (const fault of faults) {
      const fromUs = nowUs()
      await fault.inject({ ...this.#target, ms })
      const healedUs = nowUs()
      await pollUntil(() => this.#normalAt(healedUs, TAIL_BYTES) !== null, NORMAL_WITHIN_MS, 100)
      // What a fault left wrong shows after the contract, when nothing bypasses the layers any more.
      await pause(CONTRACT_MS)
      this.#spans.push({ fault, fromUs, healedUs, toUs: nowUs() })
    }
    // It has nothing more to show, and its end would wait for the rest of its time.
    await this.#world.endWriting()
    await writing
    await this.#world.history.drain()
    return this.#spans.map((span) => this.#report(span))
  }

  /** When every reader has answered out of its memory again; null before. */
  #normalAt(healedUs: number, bytes?: number): number | null {
    const first = this.#world.readers.map((_, index) => {
      for (const read of this.#world.readsOf(index, bytes)) {
        if (read.layer === 'l1' && read.startedAtUs > healedUs) return read.startedAtUs
      }
      return null
    })
    return first.includes(null) ? null : Math.max(...first.map(Number))
  }

  #report({ fault, fromUs, healedUs, toUs }: Span): Report {
    const within = (read: LoggedRead): boolean => read.startedAtUs >= fromUs && read.startedAtUs < toUs
    const reads = [...this.#world.reads()].filter(within)
    const judged = this.#world.history.history.judge(reads, CONTRACT_MS + COMMIT_TO_VISIBLE_MS)
    const running = this.#world.readers.flatMap((_, index) =>
      fault.stops?.includes(index) === true ? [] : [...this.#world.readsOf(index)].filter(within),
    )
    const took = running.map((read) => read.endedAtUs - read.startedAtUs).toSorted((a, b) => a - b)
    return {
      fault: fault.name,
      reads: judged.checked,
      stale: judged.violations,
      fromNowhere: judged.fromNowhere,
      maxStalenessMs: Math.round(judged.maxStalenessMs),
      p99Ms: roundMs(took[Math.floor(took.length * 0.99)] ?? Number.NaN),
      normalAfterMs: roundMs((this.#normalAt(healedUs) ?? Number.NaN) - healedUs),
    }
  }
}

/** Lets faults happen to worlds that end with their test; answers what readers saw of each. */
export function faultWorlds(): (faults: readonly Fault<RedisTarget>[], unsafe?: UnsafeSwitches) => Promise<Report[]> {
  let world: World | undefined
  let dev: TestProcess | undefined
  afterEach(async () => {
    await dev?.stop('SIGKILL')
    await world?.stop()
    dev = world = undefined
  })
  return async (faults, unsafe = {}) => {
    world = await World.create({
      major: 18,
      scale: 1,
      namespace: 'faults',
      maxStalenessMs: CONTRACT_MS,
      redis: { needs: 'process', args: ['--enable-debug-command', 'yes'] },
      unsafe,
    })
    await world.history.begin()
    dev = lockstep('dev', world.devArgs()).start()
    await dev.says('In step with')
    await world.startReaders()
    const reports = await new FaultRun({ world, dev }).suffer(faults)
    console.table(reports)
    return reports
  }
}

/** No read past the contract, reads stay quick, and all is as before soon after. */
export function expectNoHarm(reports: readonly Report[], mostMs = P99_MS): void {
  for (const { stale, fromNowhere, reads, p99Ms, normalAfterMs } of reports) {
    expect({ stale, fromNowhere }).toEqual({ stale: 0, fromNowhere: 0 })
    expect(reads).toBeGreaterThan(100)
    expect(p99Ms).toBeLessThan(mostMs)
    expect(normalAfterMs).toBeLessThan(NORMAL_WITHIN_MS)
  }
}
