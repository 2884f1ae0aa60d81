import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createJournalStore, openSqlite } from '@lockstep/cdn-purger'
import { startEmulator } from '@lockstep/cdn-purger/testing'
import type { Fault } from '@lockstep/cdn-purger/testing'
import { createMemoryLog, TOPICS } from '@lockstep/runtime'
import { waitFor } from '@lockstep/runtime/testing'
import type { EventLog } from '@lockstep/runtime'
import { encodeEvent, parseTag, stampOf } from '@lockstep/schemas'
import type { Clock, Lsn } from '@lockstep/schemas'
import { PurgerProcess } from './log-over-ipc.ts'

const TAGS = 400
const COMMANDS_PER_SECOND = 500
const SLICE_MS = 10
// 30 s in the world, and 300 ms instead of 5 s until we give up.
const STALL_MS = 2_000
const TIMEOUT_MS = 300
const REBOUND_MS = 100
const DRAINED_MS = 60_000
const CALM_LOOKS = 10
const MARKER = Buffer.from('the end')

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** A provider on a bad day: one request in five goes wrong, one in fifty for long. */
function badDay(): Fault | null {
  const dice = Math.random()
  if (dice < 0.02) return 'stall'
  if (dice < 0.03) return 'throttle'
  if (dice < 0.12) return 'fail'
  return dice < 0.2 ? 'reset' : null
}

/** Writes purge commands for few tags with ever greater clocks. */
class Storm {
  readonly ids = new Map<string, string>()
  readonly newest = new Map<string, string>()
  readonly #log: EventLog
  #clock = 0
  #isOver = false
  readonly done: Promise<void>

  constructor(log: EventLog) {
    this.#log = log
    this.done = this.#blow()
  }

  stop(): void {
    this.#isOver = true
  }

  async #blow(): Promise<void> {
    while (!this.#isOver) {
      const count = (COMMANDS_PER_SECOND * SLICE_MS) / 1_000
      await this.#log.produce(
        TOPICS.purges,
        Array.from({ length: count }, () => this.#command()),
      )
      await sleep(SLICE_MS)
    }
  }

  #command() {
    this.#clock += 1
    const tag = parseTag(`product:${Math.floor(Math.random() ** 2 * TAGS)}`)
    const stamp = stampOf(1, this.#clock.toString(16).padStart(20, '0') as Clock)
    const id = `c${this.#clock}`
    this.ids.set(id, tag)
    this.newest.set(tag, id)
    const commitTimeUs = BigInt(Date.now()) * 1_000n
    const commitLsn = BigInt(this.#clock) as Lsn
    const value = encodeEvent({ kind: 'purge', id, tag, stamp, commitLsn, commitTimeUs, busId: '', reason: 'storm' })
    return { key: tag, value }
  }
}

interface Outcome {
  readonly commands: number
  readonly unaccounted: number
  readonly notPurgedLast: number
  readonly notReboundedLast: number
  readonly clocksThatFell: number
  readonly uncommitted: number
}

/** Kills a purger again and again under a storm, at a provider that fails, and audits its journal. */
export async function outcome(kills: number): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'lockstep-kill9-'))
  const file = join(directory, 'journal.sqlite')
  const log = createMemoryLog({ maxBacklog: 1_000_000 })
  let isBad = true
  const emulator = await startEmulator({
    kind: 'http',
    credentials: { token: 'right' },
    forward: async () => Promise.resolve(),
    fault: () => (isBad ? badDay() : null),
    stallMs: STALL_MS,
  })
  const env = {
    LOCKSTEP_REDIS_URL: '',
    LOCKSTEP_PURGER_TIERS: `http+${emulator.url}`,
    LOCKSTEP_PURGER_HTTP_TOKEN: 'right',
    LOCKSTEP_PURGER_TIMEOUT_MS: String(TIMEOUT_MS),
    LOCKSTEP_REBOUND_MS: String(REBOUND_MS),
    LOCKSTEP_PURGER_LIMITS: JSON.stringify({ http: { maxKeys: 20 } }),
    LOCKSTEP_PURGER_JOURNAL_URL: `sqlite:${file}`,
  }
  const storm = new Storm(log)
  let purger = new PurgerProcess(log, { env })
  try {
    for (let kill = 0; kill < kills; kill++) {
      await purger.ready()
      await sleep(Math.random() * 800)
      await purger.end('SIGKILL')
      purger = new PurgerProcess(log, { env })
    }
    storm.stop()
    await storm.done
    isBad = false
    await purger.ready()
    await untilCommitted(purger)
    await purger.end('SIGTERM')
    const found = { ...(await judge(file, storm)), uncommitted: await redelivered(log), commands: storm.ids.size }
    console.log(JSON.stringify({ kills, ...found }))
    return found
  } finally {
    storm.stop()
    await purger.end('SIGKILL').catch(() => undefined)
    await emulator.stop()
    await log.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

type Judged = Omit<Outcome, 'uncommitted' | 'commands'>

/** Waits until the log is committed to its end and stays so, or it is too late. */
async function untilCommitted(purger: PurgerProcess): Promise<void> {
  const deadlineMs = performance.now() + DRAINED_MS
  for (let calm = 0; calm < CALM_LOOKS && performance.now() < deadlineMs; calm++) {
    await sleep(100)
    if (purger.uncommitted > 0) calm = -1
  }
}

async function judge(file: string, storm: Storm): Promise<Judged> {
  const store = createJournalStore(openSqlite(file))
  const ended = new Set<string>()
  const [purged, rebounded] = [new Set<string>(), new Set<string>()]
  const newestAcked = new Map<string, { readonly stamp: string; readonly atMs: number }>()
  let clocksThatFell = 0
  for await (const { id, tag, stamp, state, phase, atMs, sentAtMs } of store.read({})) {
    if (state !== 'acked' && state !== 'superseded') continue
    ended.add(id)
    if (state !== 'acked') continue
    ;(phase === 'live' ? purged : rebounded).add(id)
    const before = newestAcked.get(tag)
    // Two requests may be on their way at once; what counts is that none was sent for an older change after that.
    const sentMs = sentAtMs ?? atMs
    if (before !== undefined && stamp < before.stamp && sentMs > before.atMs) {
      clocksThatFell += 1
      console.log(
        'sent for an older change:',
        JSON.stringify({ id, tag, phase, sentMs, lateByMs: sentMs - before.atMs }),
      )
    }
    if (before === undefined || stamp > before.stamp) newestAcked.set(tag, { stamp, atMs })
  }
  await store.close()
  const newest = [...storm.newest.values()]
  return {
    unaccounted: [...storm.ids.keys()].filter((id) => !ended.has(id)).length,
    notPurgedLast: newest.filter((id) => !purged.has(id)).length,
    notReboundedLast: newest.filter((id) => !rebounded.has(id)).length,
    clocksThatFell,
  }
}

/** How much the log would deliver once more: what arrives before a marker at the end of every partition. */
async function redelivered(log: EventLog): Promise<number> {
  const partitions = await log.partitionCount(TOPICS.purges)
  let [records, markers] = [0, 0]
  const subscription = await log.consume({ topic: TOPICS.purges, group: 'cdn-purger' }, (batch) => {
    for (const { value } of batch.records) {
      if (MARKER.equals(value)) markers += 1
      else records += 1
    }
    return Promise.resolve()
  })
  for (let partition = 0; partition < partitions; partition++)
    await log.produce(TOPICS.purges, [{ key: null, partition, value: MARKER }])
  await waitFor(() => markers === partitions, DRAINED_MS)
  await subscription.stop()
  return records
}

/** What an outcome must be, besides its number of commands. */
export const SOUND = { unaccounted: 0, notPurgedLast: 0, notReboundedLast: 0, clocksThatFell: 0, uncommitted: 0 }
