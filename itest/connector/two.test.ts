import type { RunningConnector } from '@lockstep/connector'
import { startOn } from '@lockstep/connector/testing'
import { createRandom, TOPICS, type EventLog } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import { generationOf } from '@lockstep/schemas'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ItemWriter } from './items.ts'
import { MAJORS, SEED } from './rig.ts'
import { DEADLINE_MS, ITEM_RULES, ownServer, Scene } from './scene.ts'

const CUTS = 6
/** What a second one would take to end the stream of the first, did it lead as well, and many times that. */
const GRACE_MS = 50
const UNCUT_MS = 1_000

/** Two connectors on one source that write to one log. */
class Pair {
  readonly scene: Scene
  /** Who handed records to the log, call by call. */
  readonly calls: string[] = []
  readonly #giveUp = new AbortController()
  readonly #starting: Promise<unknown>[] = []

  constructor(scene: Scene) {
    this.scene = scene
    onTestFinished(async () => {
      this.#giveUp.abort()
      await Promise.allSettled(this.#starting)
    })
  }

  /** Resolves once it publishes, which may be never. */
  start(who: string): Promise<RunningConnector> {
    const { log, source } = this.scene
    const through: EventLog = {
      produce: (topic, records) => {
        if (topic === TOPICS.changes) this.calls.push(who)
        return log.produce(topic, records)
      },
      consume: (options, onBatch) => log.consume(options, onBatch),
      partitionCount: (topic) => log.partitionCount(topic),
      close: () => Promise.resolve(),
    }
    const unsafe = { graceMs: GRACE_MS }
    const started = startOn(source, through, { rules: ITEM_RULES, signal: this.#giveUp.signal, unsafe })
    this.#starting.push(started)
    return started
  }

  /** Waits until the one that publishes has gone on for a while. */
  async goesOn(): Promise<void> {
    const from = this.calls.length
    await waitFor(() => this.calls.length > from + 20, DEADLINE_MS)
  }

  /** Ends every connection by which one of them is the active one. */
  async cutOff(): Promise<void> {
    const { source, slot } = this.scene
    await source.admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid in (
        select active_pid from pg_replication_slots where slot_name = $2
        union all select pid from pg_locks where locktype = 'advisory' and granted)`,
      [source.config.slot, slot],
    )
  }

  /** Changes that stand behind the flush of a later generation than theirs: consumers drop them. */
  dropped(): number {
    let newest = 0
    return this.scene.received.filter(({ event }) => {
      if (event.kind === 'flush') newest = Math.max(newest, event.generation)
      return event.kind === 'change' && generationOf(event.stamp) < newest
    }).length
  }
}

describe.each(MAJORS)('itest/connector/two on PostgreSQL %s', (major) => {
  const server = ownServer(major)

  test('of two connectors on one slot one publishes, until it is cut off and either of them goes on', async () => {
    const scene = await Scene.open(server().url)
    const pair = new Pair(scene)
    await pair.start('a')
    void pair.start('b').catch(() => undefined)
    const writer = new ItemWriter(await scene.source.connect(), createRandom(SEED), { first: 0, count: 50 })
    const writing = writer.run(5)
    const later = performance.now() + UNCUT_MS
    await waitFor(() => performance.now() >= later, DEADLINE_MS)
    expect(new Set(pair.calls)).toEqual(new Set(['a']))
    for (let cut = 0; cut < CUTS; cut++) {
      await pair.goesOn()
      await pair.cutOff()
    }
    writer.stop()
    await writing
    await scene.settled()
    const turns = pair.calls.filter((who, index) => who !== pair.calls[index - 1]).length
    expect(turns).toBeLessThanOrEqual(CUTS + 1)
    expect(scene.judge(writer)).toMatchObject({ lost: [], invented: [], late: [] })
    expect(scene.generations()).toHaveLength(1)
  })

  test('one that waits begins no generation while the other one publishes', async () => {
    const scene = await Scene.open(server().url)
    const pair = new Pair(scene)
    const { generation } = (await pair.start('a')).status()
    const writer = new ItemWriter(await scene.source.connect(), createRandom(SEED), { first: 0, count: 50 })
    const writing = writer.run(5)
    await pair.goesOn()
    // The one that starts sees at once what the other one will see within a second.
    await scene.source.query('create table other (id int primary key); alter publication lockstep add table other')
    void pair.start('b').catch(() => undefined)
    await scene.nextGeneration(generation)
    await pair.goesOn()
    writer.stop()
    await writing
    await scene.settled()
    expect(pair.dropped()).toBe(0)
  })
})
