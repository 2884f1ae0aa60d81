import { createRandom, createZipf, LatencyRecorder } from '@lockstep/runtime'
import { Pool } from 'undici'
import { httpGet } from '../adapters/http-get.ts'
import { VersionOracle } from './oracle.ts'
import { SqlWriter, type ProductWriter } from './sql-writer.ts'

/** What the load process is told at start. */
export interface LoadOptions {
  readonly databaseUrl: string
  readonly apiUrls: readonly string[]
  readonly edgeUrl: string
  /** Where one writer of four sends its changes; absent: all of them write to the database. */
  readonly writeUrl?: string | undefined
  readonly products: number
  readonly categories: number
  readonly commitsPerSecond: number
  readonly readsPerSecond: number
  /** Contract of reads that an API process answers (L1, L2, database). */
  readonly maxStalenessMs: number
  /** What the edge is judged by: the contract before it, the rebound, and as long again. Far below a response's lifetime. */
  readonly edgeStalenessMs: number
}

/** Tells of a request that was not answered with success: its path, and the status or what broke it. */
export type FailureSink = (path: string, why: string) => void

/** What it reports, once a second and at the end. Counts since the start. */
export interface LoadReport {
  readonly commits: number
  readonly reads: number
  readonly staleReads: number
  readonly maxStalenessMs: number
  /** The same of what API processes answered (L1, L2, database). */
  readonly apiMaxStalenessMs: number
  readonly edgeReads: number
  readonly edgeHits: number
  readonly errors: number
  /** Requests to write that were not answered with success. */
  readonly writeErrors: number
  /** Times that a writer lost its database and came back. */
  readonly reconnects: number
  readonly readMs: { readonly p50: number; readonly p99: number }
  readonly elapsedMs: number
  readonly lastChanges: readonly string[]
}

interface ProductBody {
  readonly id: number | string
  readonly version: number
}

const WRITERS = 4
const READERS = 24
// Work is released in slices of this length, so that pacing costs no timer per request.
const SLICE_MS = 5
const ZIPF_EXPONENT = 1
const LIST_SHARE = 0.02
const EDGE_SHARE = 0.6

/** Writes products and reads them through the edge and through every API process, judging each answer. */
export class Load {
  readonly #options: LoadOptions
  readonly #failed: FailureSink
  readonly #random = createRandom(20_260_101)
  readonly #oracle: VersionOracle
  readonly #rank: () => number
  readonly #apis: readonly Pool[]
  readonly #edge: Pool
  readonly #readMs = new LatencyRecorder()
  readonly #lastChanges: string[] = []
  #commits = 0
  #reads = 0
  #staleReads = 0
  #maxStalenessMs = 0
  #apiMaxStalenessMs = 0
  #oldest = { apiMs: 0, edgeMs: 0 }
  #edgeReads = 0
  #edgeHits = 0
  #errors = 0
  #writeErrors = 0
  #reconnects = 0
  #startedAtMs = 0
  #stopped = false

  constructor(options: LoadOptions, failed: FailureSink = () => undefined) {
    this.#options = options
    this.#failed = failed
    this.#oracle = new VersionOracle(options.edgeStalenessMs + 60_000)
    this.#rank = createZipf(options.products, ZIPF_EXPONENT, this.#random)
    this.#apis = options.apiUrls.map((url) => new Pool(url, { connections: READERS }))
    this.#edge = new Pool(options.edgeUrl, { connections: READERS })
  }

  /** Runs until `stop`; rejects when the database refuses the writers. */
  async run(): Promise<void> {
    this.#startedAtMs = performance.now()
    const writers = Array.from({ length: WRITERS }, (_, index) => this.#write(index))
    const readers = Array.from({ length: READERS }, () => this.#readPaced())
    await Promise.all([...writers, ...readers])
    await Promise.all([...this.#apis, this.#edge].map((pool) => pool.close()))
  }

  stop(): void {
    this.#stopped = true
  }

  report(): LoadReport {
    const { p50, p99 } = this.#readMs.summary()
    return {
      commits: this.#commits,
      reads: this.#reads,
      staleReads: this.#staleReads,
      maxStalenessMs: this.#maxStalenessMs,
      apiMaxStalenessMs: this.#apiMaxStalenessMs,
      edgeReads: this.#edgeReads,
      edgeHits: this.#edgeHits,
      errors: this.#errors,
      writeErrors: this.#writeErrors,
      reconnects: this.#reconnects,
      readMs: { p50, p99 },
      elapsedMs: performance.now() - this.#startedAtMs,
      lastChanges: this.#lastChanges,
    }
  }

  /** How old the oldest answers were since the last question, by who gave them. */
  oldest(): { readonly apiMs: number; readonly edgeMs: number } {
    const oldest = this.#oldest
    this.#oldest = { apiMs: 0, edgeMs: 0 }
    return oldest
  }

  /** Each writer owns the products of its residue class, so a row's versions are acknowledged in order. */
  async #write(writer: number): Promise<void> {
    const { writeUrl, databaseUrl, products, commitsPerSecond } = this.#options
    const isHttp = writer === 0 && writeUrl !== undefined
    const change = isHttp
      ? this.#httpChanges(writeUrl)
      : await SqlWriter.open(databaseUrl, () => (this.#reconnects += 1))
    await this.#paced(commitsPerSecond / WRITERS, async () => {
      // Any product may change; which ones are read most is another matter.
      const drawn = Math.floor(this.#random() * products)
      const id = drawn - (drawn % WRITERS) + writer + 1
      if (id > products) return
      const cents = 100 + Math.floor(this.#random() * 99_900)
      const version = await change.set(id, cents)
      if (version === undefined) return
      this.#oracle.committed(String(id), version, performance.now())
      this.#commits += 1
      this.#remember(`product ${id} costs ${(cents / 100).toFixed(2)} (version ${version})`)
    })
    await change.close()
  }

  #httpChanges(url: string): ProductWriter {
    const pool = new Pool(url, { connections: 1 })
    const headers = { 'content-type': 'application/json' }
    return {
      set: async (id, priceCents) => {
        const path = `/products/${id}`
        try {
          const answer = await pool.request({ method: 'PUT', path, headers, body: JSON.stringify({ priceCents }) })
          const text = await answer.body.text()
          if (answer.statusCode !== 200) throw new Error(String(answer.statusCode))
          return Number((JSON.parse(text) as ProductBody).version)
        } catch (error) {
          this.#writeErrors += 1
          this.#failed(`PUT ${path}`, String(error))
          return undefined
        }
      },
      close: () => pool.close(),
    }
  }

  #remember(line: string): void {
    this.#lastChanges.unshift(line)
    this.#lastChanges.length = Math.min(this.#lastChanges.length, 5)
  }

  async #readPaced(): Promise<void> {
    await this.#paced(this.#options.readsPerSecond / READERS, async () => {
      const viaEdge = this.#random() < EDGE_SHARE
      const isList = this.#random() < LIST_SHARE
      const path = isList
        ? `/categories/${1 + (this.#rank() % this.#options.categories)}/products`
        : `/products/${this.#rank() + 1}`
      try {
        await this.#read(viaEdge, path)
      } catch (error) {
        this.#errors += 1
        this.#failed(`${viaEdge ? 'edge' : 'api'} ${path}`, String(error))
      }
    })
  }

  async #read(viaEdge: boolean, path: string): Promise<void> {
    const pool = viaEdge ? this.#edge : this.#apis[this.#reads % this.#apis.length]
    if (!pool) return
    const startedAtMs = performance.now()
    const { status, headers, text } = await httpGet(pool, path)
    this.#readMs.record(performance.now() - startedAtMs)
    this.#reads += 1
    if (viaEdge) {
      this.#edgeReads += 1
      if (String(headers['x-cache'] ?? '').startsWith('HIT')) this.#edgeHits += 1
    }
    if (status !== 200) throw new Error(String(status))
    const parsed = JSON.parse(text) as ProductBody | { items: ProductBody[] }
    for (const product of 'items' in parsed ? parsed.items : [parsed]) this.#judge(product, startedAtMs, viaEdge)
  }

  #judge(product: ProductBody, startedAtMs: number, viaEdge: boolean): void {
    const { edgeStalenessMs, maxStalenessMs } = this.#options
    const bound = viaEdge ? edgeStalenessMs : maxStalenessMs
    const { violation, stalenessMs } = this.#oracle.judge(String(product.id), product.version, startedAtMs, bound)
    if (violation) this.#staleReads += 1
    this.#maxStalenessMs = Math.max(this.#maxStalenessMs, stalenessMs)
    const by = viaEdge ? 'edgeMs' : 'apiMs'
    this.#oldest[by] = Math.max(this.#oldest[by], stalenessMs)
    if (!viaEdge) this.#apiMaxStalenessMs = Math.max(this.#apiMaxStalenessMs, stalenessMs)
  }

  /** Calls `work` at the given rate, one at a time; what a slow answer delayed is made up for, at most one second of it. */
  async #paced(perSecond: number, work: () => Promise<void>): Promise<void> {
    let due = performance.now() + (this.#random() * 1000) / perSecond
    while (!this.#stopped) {
      const now = performance.now()
      if (due < now - 1000) due = now - 1000
      if (due > now) {
        await new Promise((resolve) => setTimeout(resolve, Math.max(due - now, Math.min(SLICE_MS, 1000 / perSecond))))
        continue
      }
      due += 1000 / perSecond
      await work()
    }
  }
}
