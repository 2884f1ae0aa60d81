import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import type { UnsafeSwitches } from '@lockstep/cache'
import { TestProcess } from '../process.ts'
import type { Contender, Outside } from './contender.ts'
import { CONTRACT_MS } from './contenders/lockstep.ts'
import type { SoakOrder, SoakRead, SoakReply, SoakRequest } from './soak-child.ts'

/** What a soak found. */
export interface SoakResult {
  readonly reads: number
  readonly writes: number
  /** Reads that began more than `GRACE_MS` after an invalidation was done and returned a version from before it. */
  readonly stale: number
  /** Rows, over all processes, that were still wrong when everything had come to rest. */
  readonly wrongAtRest: number
  /** Loads of one row that `PROCESSES × STAMPEDE_READERS` readers missed together. */
  readonly stampedeLoads: number
}

/** How long and with what. */
export interface SoakOptions {
  readonly redis: { readonly url: string; readonly host: string; readonly port: number }
  readonly ms: number
  readonly unsafe?: UnsafeSwitches | undefined
}

const CHILD = fileURLToPath(new URL('soak-child.ts', import.meta.url))
export const PROCESSES = 4
export const STAMPEDE_READERS = 250
const ROWS = 48
const GROUPS = 6
/** A stale value shows only until its row is invalidated again, so that must be rare against `GRACE_MS`. */
const WRITE_PAUSE_MS = 15
const TAG_SHARE = 0.1
/** What a bus may take, for everybody; above our contract, which is a promise about the same time. */
export const GRACE_MS = CONTRACT_MS + 50

const nowMs = (): number => performance.timeOrigin + performance.now()
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Write {
  readonly version: number
  /** When the invalidation was done. */
  readonly at: number
}

/** The writer of a soak and its child processes. */
class Soak {
  readonly #contender: Contender
  readonly #options: SoakOptions
  readonly #namespace = `soak-${randomUUID().slice(0, 8)}`
  readonly #redis: Redis
  readonly #children: readonly TestProcess[]
  readonly #writes = new Map<string, Write[]>()
  #outside: Outside | null = null

  constructor(contender: Contender, options: SoakOptions) {
    const { redis, unsafe = {} } = options
    this.#contender = contender
    this.#options = options
    this.#redis = new Redis(redis.url)
    const { host, port } = redis
    const order: SoakOrder = {
      contender: contender.name,
      host,
      port,
      namespace: this.#namespace,
      rows: ROWS,
      groups: GROUPS,
      unsafe,
    }
    this.#children = Array.from(
      { length: PROCESSES },
      (_, index) => new TestProcess(`${contender.name}-${index}`, CHILD, [JSON.stringify(order)]),
    )
  }

  async run(): Promise<SoakResult> {
    this.#outside = (await this.#contender.outside?.(this.#options.redis.url, this.#namespace)) ?? null
    await Promise.all(this.#children.map((child) => once(child.start().child, 'message')))
    const stampede: SoakRequest = { kind: 'stampede', id: 'stampede', readers: STAMPEDE_READERS }
    const loads = (await this.#all(stampede)).map((reply) => (reply.kind === 'done' ? reply.loads : 0))
    await this.#all({ kind: 'read' })
    const end = nowMs() + this.#options.ms
    while (nowMs() < end) {
      await this.#write()
      await sleep(Math.random() * 2 * WRITE_PAUSE_MS)
    }
    await sleep(GRACE_MS)
    const reports = await this.#all({ kind: 'report' })
    return { ...this.#judge(reports), stampedeLoads: loads.reduce((sum, count) => sum + count, 0) }
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop('SIGKILL')))
    await this.#outside?.close()
    this.#redis.disconnect()
  }

  /** Commits new versions and lets the library's own way of invalidating run, in one of the processes. */
  async #write(): Promise<void> {
    const isTag = this.#contender.hasTags && Math.random() < TAG_SHARE
    const group = Math.floor(Math.random() * GROUPS)
    const ids = isTag
      ? Array.from({ length: ROWS / GROUPS }, (_, index) => `r${index * GROUPS + group}`)
      : [`r${Math.floor(Math.random() * ROWS)}`]
    const tag = isTag ? `g${group}` : null
    const versions: number[] = []
    for (const id of ids) versions.push(await this.#redis.hincrby(`${this.#namespace}-truth`, id, 1))
    if (this.#outside) await this.#outside.invalidate(tag === null ? { ids } : { tag })
    else await this.#ask(this.#pick(), { kind: 'invalidate', ids, tag })
    const at = nowMs()
    ids.forEach((id, index) => {
      const writes = this.#writes.get(id) ?? []
      writes.push({ version: versions[index] ?? 0, at })
      this.#writes.set(id, writes)
    })
  }

  #judge(reports: readonly SoakReply[]): Omit<SoakResult, 'stampedeLoads'> {
    const isStale = ([id, version, beganAt]: SoakRead): boolean => {
      const due = this.#writes.get(id)?.findLast(({ at }) => at + GRACE_MS < beganAt)
      return due !== undefined && version < due.version
    }
    let [reads, stale, wrongAtRest] = [0, 0, 0]
    for (const report of reports) {
      if (report.kind !== 'report') continue
      reads += report.reads.length + report.last.length
      stale += report.reads.filter(isStale).length
      wrongAtRest += report.last.filter(isStale).length
    }
    const writes = [...this.#writes.values()].reduce((sum, { length }) => sum + length, 0)
    return { reads, writes, stale, wrongAtRest }
  }

  #pick(): TestProcess {
    const child = this.#children[Math.floor(Math.random() * PROCESSES)]
    if (!child) throw new Error('no child')
    return child
  }

  #all(request: SoakRequest): Promise<SoakReply[]> {
    return Promise.all(this.#children.map((child) => this.#ask(child, request)))
  }

  async #ask({ child }: TestProcess, request: SoakRequest): Promise<SoakReply> {
    const reply = once(child, 'message')
    child.send(request)
    return ((await reply) as [SoakReply])[0]
  }
}

/** Lets four processes read and invalidate rows at random for a while, and judges every read. */
export async function soak(contender: Contender, options: SoakOptions): Promise<SoakResult> {
  const running = new Soak(contender, options)
  try {
    return await running.run()
  } finally {
    await running.close()
  }
}
