import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { INVALIDATOR_CONFIG, startInvalidator } from '@lockstep/invalidator'
import type { RunningInvalidator, UnsafeInvalidatorOptions } from '@lockstep/invalidator'
import { createMetrics, loadConfig, silentLogger } from '@lockstep/runtime'
import { parseRules } from '@lockstep/schemas'
import { pollUntil } from '@lockstep/servers'
import { expect } from 'vitest'
import { JudgedReader } from './judged-reader.ts'
import { STAND_IN_RULES, StandIn } from './stand-in.ts'

export const CONTRACT_MS = 1_000
/** One timer of this process behind another, on a machine that runs many servers on one core. */
const TOLERANCE_MS = 50
const ROWS = 120
/** These change for the last time while the replica is cut off. */
const LOST_ROWS = 60
const COMMITS_PER_SECOND = 100
const NORMAL_WITHIN_MS = 20_000
const FAILOVER_WITHIN_MS = 20_000
/** A command that times out, a lease that nobody answers, a load. */
export const P99_MS = 500

/** Servers of which one can fall behind and then take over. */
export interface ReplicatedServers {
  readonly url: string
  detachReplica(): Promise<void>
  stop(): Promise<void>
}

/** An invalidator, readers that judge what they get, and changes all the time, on servers that fail over. */
export class FailoverScene {
  readonly source: StandIn
  readonly readers: JudgedReader[] = []
  readonly rewinds: unknown[] = []
  #invalidator: RunningInvalidator | null = null
  #writing: NodeJS.Timeout | null = null
  readonly #servers: ReplicatedServers
  readonly #namespace: string

  private constructor(servers: ReplicatedServers, namespace: string, source: StandIn) {
    this.#servers = servers
    this.#namespace = namespace
    this.source = source
  }

  /** Starts everything on servers that it then owns, and waits until all is normal. */
  static async create(
    servers: ReplicatedServers,
    namespace: string,
    unsafe: UnsafeInvalidatorOptions = {},
  ): Promise<FailoverScene> {
    const scene = new FailoverScene(servers, namespace, await StandIn.start())
    try {
      await scene.#begin(unsafe)
      return scene
    } catch (error) {
      await scene.stop()
      throw error
    }
  }

  async #begin(unsafe: UnsafeInvalidatorOptions): Promise<void> {
    const env = {
      LOCKSTEP_NAMESPACE: this.#namespace,
      LOCKSTEP_REDIS_URL: this.#servers.url,
      LOCKSTEP_INVALIDATOR_REDIS_TIMEOUT_MS: '500',
    }
    const logger = {
      ...silentLogger,
      warn: (fields: object, text: string) => void (text.includes('rewinding') && this.rewinds.push(fields)),
    }
    this.#invalidator = await startInvalidator(loadConfig(INVALIDATOR_CONFIG, { env }), {
      log: this.source.log,
      logger,
      metrics: createMetrics(),
      rules: parseRules(STAND_IN_RULES),
      unsafe,
    })
    for (let index = 0; index < 2; index++) await this.addReader()
    let turn = 0
    // Only rows that go on changing: whatever happens to their fences is soon mended by the next.
    const write = () => this.source.commit(LOST_ROWS + (turn++ % (ROWS - LOST_ROWS)))
    this.#writing = setInterval(write, 1000 / COMMITS_PER_SECOND)
    await this.normalFrom(performance.now())
  }

  async addReader(firstRow = 0): Promise<JudgedReader> {
    const reader = await JudgedReader.start({
      source: this.source,
      redisUrl: this.#servers.url,
      namespace: this.#namespace,
      maxStalenessMs: CONTRACT_MS,
      toleranceMs: TOLERANCE_MS,
      rows: ROWS,
      firstRow,
    })
    this.readers.push(reader)
    return reader
  }

  /** Waits until every reader's own memory answers again, and has been asked for every row since. */
  async normalFrom(at: number): Promise<void> {
    const isNormal = () => this.readers.every((reader) => reader.isNormalSince(at))
    if (!(await pollUntil(isNormal, NORMAL_WITHIN_MS, 50))) throw new Error('the readers did not come back to normal')
    const rounds = this.readers.map((reader) => reader.rounds + 2)
    const haveRead = () => this.readers.every((reader, index) => reader.rounds >= (rounds[index] ?? 0))
    if (!(await pollUntil(haveRead, NORMAL_WITHIN_MS, 50))) throw new Error('the readers are stuck')
  }

  /** Cuts the replica off, and changes rows that it will not hear of, longer ago than the contract. */
  async loseSuffix(): Promise<void> {
    await this.#servers.detachReplica()
    for (let id = 0; id < LOST_ROWS; id++) this.source.commit(id)
    await pause(1.5 * CONTRACT_MS)
    // They have heard of it, and would mend what the promoted node gets wrong before anybody else sees it.
    for (const reader of this.readers) reader.firstRow = LOST_ROWS
  }

  /** Has a replica without the last changes promoted in the place of its dead master, and everybody read from it. */
  async failOver(kill: () => Promise<void> | undefined, isPromoted: () => Promise<boolean>) {
    await this.loseSuffix()
    await kill()
    await isSoon(isPromoted)
    await this.normalFrom(performance.now())
    // One that knows nothing but what the promoted node has. Not before it may believe Redis does it ask for what was lost:
    // it would load that, and so mend it.
    const newcomer = await this.addReader(LOST_ROWS)
    await this.normalFrom(performance.now())
    newcomer.firstRow = 0
    await this.normalFrom(performance.now())
    return this.report()
  }

  report() {
    const all = this.readers.map((reader) => reader.judgement())
    const sum = (of: (judgement: (typeof all)[number]) => number) => all.reduce((total, one) => total + of(one), 0)
    const report = {
      reads: sum(({ reads }) => reads),
      fromRedis: sum(({ fromRedis }) => fromRedis),
      stale: sum(({ stale }) => stale),
      p99Ms: Math.max(...all.map(({ p99Ms }) => p99Ms)),
      rewinds: this.rewinds.length,
      generationsAskedFor: this.source.requests.length,
    }
    console.table([report])
    return report
  }

  async stop(): Promise<void> {
    if (this.#writing !== null) clearInterval(this.#writing)
    for (const reader of this.readers) await reader.stop()
    await this.#invalidator?.stop()
    await this.source.stop()
    await this.#servers.stop()
  }
}

export async function isSoon(isPromoted: () => Promise<boolean>): Promise<void> {
  if (!(await pollUntil(isPromoted, FAILOVER_WITHIN_MS, 20))) throw new Error('the replica was not promoted')
}

/** The law of a failover that loses the last writes. */
export function expectNothingStale(report: ReturnType<FailoverScene['report']>): void {
  expect(report).toMatchObject({ stale: 0, generationsAskedFor: 0 })
  expect(report.rewinds).toBeGreaterThan(0)
  expect(report.fromRedis).toBeGreaterThan(ROWS)
  expect(report.p99Ms).toBeLessThan(P99_MS)
}
