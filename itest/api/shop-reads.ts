import { setTimeout as sleep } from 'node:timers/promises'

/** One write as its answer told it. */
interface Written {
  readonly version: number
  readonly token: string
  readonly answeredAt: number
}

/** What a process did to the laws of reading. */
export interface Verdict {
  reads: number
  /** Reads that missed a write answered longer ago than the contract. */
  pastContract: number
  /** Reads that missed the write whose token they carried. */
  brokenTokens: number
  /** Reads of an older version than the same process had answered before. */
  backwards: number
  refused: number
}

/** A process under test. */
export interface Reader {
  readonly url: string
  readonly contractMs: number
  readonly verdict: Verdict
}

const READ_PAUSE_MS = 5

/** Writes products through one process, reads them through others, and judges every answer. */
export class ShopReads {
  readonly #products: number
  readonly #written = new Map<number, Written[]>()
  readonly #seen = new Map<string, number>()
  #random = 7

  constructor(products: number) {
    this.#products = products
  }

  /** Writes and reads until `ms` have passed. Half of the products are never written. */
  async run(ms: number, options: { writer: string | null; readers: readonly Reader[] }): Promise<void> {
    const until = performance.now() + ms
    const going = (): boolean => performance.now() < until
    const write = async (): Promise<void> => {
      while (options.writer !== null && going()) {
        await this.write(options.writer, 1 + this.#draw(this.#products / 2))
        await sleep(20)
      }
    }
    const read = async (reader: Reader): Promise<void> => {
      while (going()) {
        await this.read(reader, 1 + this.#draw(this.#products), this.#draw(3) === 0)
        await sleep(READ_PAUSE_MS)
      }
    }
    await Promise.all([write(), ...options.readers.map(read)])
  }

  async write(url: string, id: number): Promise<void> {
    const response = await fetch(`${url}/products/${id}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ priceCents: 1 + this.#draw(10_000) }),
    })
    const { version } = (await response.json()) as { version: number }
    const token = response.headers.get('lockstep-token') ?? ''
    const writes = this.#written.get(id) ?? []
    writes.push({ version, token, answeredAt: performance.now() })
    this.#written.set(id, writes)
  }

  /** One read, with the token of the product's last write where asked; answers its status. */
  async read({ url, contractMs, verdict }: Reader, id: number, withToken = false): Promise<Response> {
    const writes = [...(this.#written.get(id) ?? [])]
    const last = writes.at(-1)
    const beganAt = performance.now()
    const headers: Record<string, string> = withToken && last ? { 'lockstep-token': last.token } : {}
    const seenBefore = this.#seen.get(`${url} ${id}`) ?? 0
    const response = await fetch(`${url}/products/${id}`, { headers })
    verdict.reads += 1
    const body = (await response.json()) as { version: number }
    if (response.status !== 200) {
      verdict.refused += 1
      return response
    }
    const due = writes.findLast(({ answeredAt }) => answeredAt < beganAt - contractMs)
    if (due && body.version < due.version) verdict.pastContract += 1
    if (withToken && last && body.version < last.version) verdict.brokenTokens += 1
    if (body.version < seenBefore) verdict.backwards += 1
    this.#seen.set(`${url} ${id}`, Math.max(body.version, this.#seen.get(`${url} ${id}`) ?? 0))
    return response
  }

  /** A linear congruential generator: the same run draws the same. */
  #draw(below: number): number {
    this.#random = (this.#random * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((this.#random / 2_147_483_648) * below)
  }
}
