import { connect, type Socket } from 'node:net'
import { quantiles } from '../bench.ts'

/** A load that does not wait for its answers. */
export interface Offer {
  readonly url: string
  /** The text of the nth request, with its end. */
  readonly request: (index: number) => string
  /** Requests that fall due per second; Infinity asks anew as soon as an answer is there. */
  readonly perSecond: number
  readonly seconds: number
  /** What is due and finds no connection waits, and that counts as its time. */
  readonly maxConnections: number
}

/** What became of the requests that fell due within one second. */
export interface Second {
  readonly offered: number
  readonly good: number
  readonly refused: number
  readonly bad: number
  /** NaN where there was no 2xx. */
  readonly goodMs: { readonly p50: number; readonly p99: number }
}

/** What became of it. Times from when a request fell due to the end of its answer. */
export interface Answers {
  readonly offered: number
  /** 2xx. */
  readonly good: number
  /** 429 and 503 that say when to try again. */
  readonly refused: number
  /** Anything else: other statuses, broken connections, no answer within 10 s. */
  readonly bad: Readonly<Record<string, number>>
  readonly goodMs: { readonly p50: number; readonly p99: number }
  readonly refusedMs: { readonly p50: number; readonly p99: number }
  /** When the last request that got no 2xx had fallen due, s since the beginning; 0 = all did. */
  readonly lastNotGoodAt: number
  readonly bySecond: readonly Second[]
}

const TICK_MS = 2
const TIMEOUT_MS = 10_000
const REFUSALS = new Set(['429', '503'])

interface Line {
  readonly socket: Socket
  text: string
  dueAt: number
  isBusy: boolean
}

interface Tally {
  readonly goodMs: number[]
  refused: number
  bad: number
}

const NOTHING: Tally = { goodMs: [], refused: 0, bad: 0 }

/** One run of an offer, on keep-alive connections with one request at a time each. */
class Run {
  readonly #offer: Offer
  readonly #target: URL
  readonly #idle: Line[] = []
  readonly #lines = new Set<Line>()
  readonly #goodMs: number[] = []
  readonly #refusedMs: number[] = []
  readonly #bad: Record<string, number> = {}
  // Sparse: in some seconds nothing may fall due.
  readonly #seconds: (Tally | undefined)[] = []
  readonly #beganAt = performance.now()
  #sent = 0
  #lastNotGoodAt = 0
  #isOver = false

  constructor(offer: Offer) {
    this.#offer = offer
    this.#target = new URL(offer.url)
  }

  async play(): Promise<Answers> {
    const { seconds } = this.#offer
    await new Promise<void>((resolve) => {
      const tick = setInterval(() => {
        if (performance.now() - this.#beganAt < seconds * 1_000) return this.#pump()
        this.#isOver = true
        // Each has its time, however late another is.
        const isAwaited = [...this.#lines].some(({ isBusy, dueAt }) => isBusy && performance.now() - dueAt < TIMEOUT_MS)
        if (isAwaited) return
        clearInterval(tick)
        resolve()
      }, TICK_MS)
    })
    for (const line of this.#lines) {
      if (line.isBusy) this.#note(line, 'timeout', false)
      line.isBusy = false
      line.socket.destroy()
    }
    return {
      offered: this.#sent,
      good: this.#goodMs.length,
      refused: this.#refusedMs.length,
      bad: this.#bad,
      goodMs: quantiles(this.#goodMs),
      refusedMs: quantiles(this.#refusedMs),
      lastNotGoodAt: this.#lastNotGoodAt / 1_000,
      bySecond: Array.from(this.#seconds, (second) => {
        const { goodMs, refused, bad } = second ?? NOTHING
        const good = goodMs.length
        return { offered: good + refused + bad, good, refused, bad, goodMs: quantiles(goodMs) }
      }),
    }
  }

  #pump(): void {
    const { perSecond, maxConnections } = this.#offer
    const now = performance.now()
    const due = perSecond === Infinity ? Infinity : ((now - this.#beganAt) / 1_000) * perSecond
    while (this.#sent < due) {
      const line = this.#idle.pop() ?? (this.#lines.size < maxConnections ? this.#open() : null)
      if (line === null) return
      line.dueAt = perSecond === Infinity ? now : this.#beganAt + (this.#sent / perSecond) * 1_000
      line.isBusy = true
      line.socket.write(this.#offer.request(this.#sent++), 'latin1')
    }
  }

  #open(): Line {
    const socket = connect({ host: this.#target.hostname, port: Number(this.#target.port), noDelay: true })
    const line: Line = { socket, text: '', dueAt: 0, isBusy: false }
    this.#lines.add(line)
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => this.#take(line, String(chunk)))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#lines.delete(line)
      if (line.isBusy) this.#note(line, 'broken', false)
      const index = this.#idle.indexOf(line)
      if (index >= 0) this.#idle.splice(index, 1)
    })
    return line
  }

  #take(line: Line, chunk: string): void {
    line.text += chunk
    const end = line.text.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = line.text.slice(0, end).toLowerCase()
    const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0)
    if (line.text.length < end + 4 + length) return
    line.text = ''
    this.#note(line, head.slice(9, 12), head.includes('\r\nretry-after: '))
    line.isBusy = false
    this.#idle.push(line)
    if (!this.#isOver && this.#offer.perSecond === Infinity) this.#pump()
  }

  #note(line: Line, outcome: string, saysWhen: boolean): void {
    const elapsedMs = performance.now() - line.dueAt
    const second = (this.#seconds[Math.floor((line.dueAt - this.#beganAt) / 1_000)] ??= {
      goodMs: [],
      refused: 0,
      bad: 0,
    })
    if (outcome.startsWith('2')) {
      this.#goodMs.push(elapsedMs)
      second.goodMs.push(elapsedMs)
      return
    }
    this.#lastNotGoodAt = Math.max(this.#lastNotGoodAt, line.dueAt - this.#beganAt)
    const isRefused = REFUSALS.has(outcome) && saysWhen
    second[isRefused ? 'refused' : 'bad'] += 1
    if (isRefused) this.#refusedMs.push(elapsedMs)
    else this.#bad[outcome] = (this.#bad[outcome] ?? 0) + 1
  }
}

/** Offers the load and waits until all of it is answered, 10 s at most. */
export const offerLoad = (offer: Offer): Promise<Answers> => new Run(offer).play()
