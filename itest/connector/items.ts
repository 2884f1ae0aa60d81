import type { Change } from '@lockstep/schemas'
import type pg from 'pg'
import type { Received } from './rig.ts'

/** Makes the table that every law of this directory writes to. */
export async function createItems(client: pg.Client): Promise<void> {
  await client.query(`create table items (id int primary key, version bigint not null, body text);
    alter table items replica identity full`)
}

const MOST_ROWS = 4
const DELETES = 0.2
const ROLLBACKS = 0.1

/** Writes random transactions to rows of its own and remembers what was committed. */
export class ItemWriter {
  /** One name per committed change, in commit order. */
  readonly committed: string[] = []
  readonly #client: pg.Client
  readonly #random: () => number
  readonly #firstId: number
  readonly #rows: number
  #versions = new Map<number, number>()
  #version = 0
  #isStopped = false

  constructor(client: pg.Client, random: () => number, ids: { readonly first: number; readonly count: number }) {
    this.#client = client
    this.#random = random
    this.#firstId = ids.first
    this.#rows = ids.count
  }

  /** Inserts, updates and deletes a few rows in one transaction; one of ten is rolled back. */
  async once(): Promise<void> {
    const names: string[] = []
    const before = new Map(this.#versions)
    await this.#client.query('begin')
    for (let row = Math.ceil(this.#random() * MOST_ROWS); row > 0; row--) names.push(await this.#change())
    if (this.#random() < ROLLBACKS) {
      await this.#client.query('rollback')
      this.#versions = before
      return
    }
    await this.#client.query('commit')
    this.committed.push(...names)
  }

  /** Goes on until `stop`, with up to `pauseMs` between two transactions. */
  async run(pauseMs: number): Promise<void> {
    while (!this.#isStopped) {
      await this.once()
      await new Promise((resolve) => setTimeout(resolve, this.#random() * pauseMs))
    }
  }

  stop(): void {
    this.#isStopped = true
  }

  async #change(): Promise<string> {
    const id = this.#firstId + Math.floor(this.#random() * this.#rows)
    const old = this.#versions.get(id)
    if (old !== undefined && this.#random() < DELETES) {
      this.#versions.delete(id)
      await this.#client.query('delete from items where id = $1', [id])
      return `delete ${id} ${old}`
    }
    const version = ++this.#version
    this.#versions.set(id, version)
    const sql = old === undefined ? 'insert into items values ($1, $2)' : 'update items set version = $2 where id = $1'
    await this.#client.query(sql, [id, version])
    return `${old === undefined ? 'insert' : 'update'} ${id} ${version}`
  }
}

function nameOf({ op, before, after }: Change): string {
  const row = op === 'delete' ? before : after
  return `${op} ${row['id']} ${row['version']}`
}

/** Without running transactions a stamp alone tells what its snapshot sees: every xid below its xmax. */
function isSeenBy(stamp: string, xid: bigint): boolean {
  return stamp.endsWith('ffff') && xid < BigInt(`0x${stamp.slice(8, 24)}`)
}

/** What the log says of what was committed. */
export interface Verdict {
  /** Committed and never delivered. */
  readonly lost: readonly string[]
  /** Delivered and never committed. */
  readonly invented: readonly string[]
  /** Delivered for the first time behind a watermark that vouches for it. */
  readonly late: readonly string[]
  readonly delivered: number
  readonly repeated: number
}

/** Compares the whole log with the whole history. */
export function judge(received: readonly Received[], committed: readonly string[]): Verdict {
  const history = new Set(committed)
  const delivered = new Set<string>()
  const newest = new Map<number, string>()
  const [invented, late]: [string[], string[]] = [[], []]
  let repeated = 0
  for (const { event, partition } of received) {
    if (event.kind === 'watermark') newest.set(partition, event.stamp)
    if (event.kind !== 'change') continue
    const name = nameOf(event)
    if (!history.has(name)) invented.push(name)
    if (delivered.has(name)) repeated += 1
    else if (isSeenBy(newest.get(partition) ?? '', event.xid)) late.push(name)
    delivered.add(name)
  }
  const lost = committed.filter((name) => !delivered.has(name))
  return { lost, invented, late, delivered: delivered.size, repeated }
}
