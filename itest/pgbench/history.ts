/** The committed values of one row, in commit order, with the time of the commit that replaced each. */
interface RowHistory {
  readonly values: string[]
  /** Commit times in µs since the Unix epoch by Postgres' clock; `times[i]` made `values[i]` current. */
  readonly times: number[]
  /** Which commit that was: one number for all rows of a transaction. */
  readonly commits: number[]
  /** Positions of each value, ascending. */
  readonly at: Map<string, number[]>
}

/** One read as a reader process logged it. */
export interface LoggedRead {
  /** `table:key`. */
  readonly row: string
  readonly value: string
  /** Wall clock of the reader when the read began, µs since the Unix epoch. */
  readonly startedAtUs: number
  /** The same clock when the answer was there. */
  readonly endedAtUs: number
  readonly layer: string
}

export interface Judgement {
  readonly checked: number
  readonly violations: number
  readonly maxStalenessMs: number
  /** Reads that L1 or Redis answered before the last commit: the others could not fail. */
  readonly atRisk: number
  /** Values that no committed version of the row ever had. */
  readonly fromNowhere: number
  /** The first violations, for a reader of the report. */
  readonly examples: readonly string[]
}

const CHANGE = /^table public\.(\w+): (?:INSERT|UPDATE): (.*)$/s
const COMMIT = /^COMMIT \d+ \(at (.+)\)$/
const MAX_EXAMPLES = 5
const HITS: ReadonlySet<string> = new Set(['l1', 'l2'])

/** Every version of every row since the history began, read from a slot of `test_decoding`, which Lockstep does not use. */
export class History {
  readonly #rows = new Map<string, RowHistory>()
  readonly #columns: ReadonlyMap<string, readonly [key: string, value: string]>
  #open: (readonly [row: string, value: string])[] = []
  #lastCommitUs = 0
  #commits = 0

  /** @param columns table → names of its key column and of the column whose value is read. */
  constructor(columns: ReadonlyMap<string, readonly [key: string, value: string]>) {
    this.#columns = columns
  }

  /** Takes one line of `pg_logical_slot_get_changes(…, 'include-timestamp', 'on')`. */
  line(text: string): void {
    const commit = COMMIT.exec(text)
    if (commit) return this.#commit(Date.parse(`${commit[1]}`.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00')), text)
    const change = CHANGE.exec(text)
    const table = change?.[1]
    const names = table === undefined ? undefined : this.#columns.get(table)
    if (!change || !names) return
    const body = change[2] ?? ''
    const column = (name: string) => new RegExp(`(?:^| )${name}\\[[^\\]]+\\]:(\\S+)`).exec(body)?.[1]
    const key = column(names[0])
    const value = column(names[1])
    if (key !== undefined && value !== undefined) this.#open.push([`${table}:${key}`, value])
  }

  #commit(timeMs: number, text: string): void {
    // Date keeps milliseconds only; the microseconds follow the point.
    const fraction = /\.(\d+)/.exec(text)?.[1]?.padEnd(6, '0') ?? '000000'
    const timeUs = Math.floor(timeMs / 1000) * 1_000_000 + Number(fraction)
    this.#lastCommitUs = Math.max(this.#lastCommitUs, timeUs)
    this.#commits += 1
    for (const [row, value] of this.#open) {
      const history: RowHistory = this.#rows.get(row) ?? { values: [], times: [], commits: [], at: new Map() }
      const positions = history.at.get(value) ?? []
      positions.push(history.values.length)
      history.at.set(value, positions)
      history.values.push(value)
      history.times.push(timeUs)
      history.commits.push(this.#commits)
      // Deleted first, so that rows stand in the order of their last change.
      this.#rows.delete(row)
      this.#rows.set(row, history)
    }
    this.#open = []
  }

  get rows(): number {
    return this.#rows.size
  }

  /** The last committed value of every row that changed, in the order of the last change. */
  *latest(): Generator<readonly [row: string, value: string]> {
    for (const [row, { values }] of this.#rows) yield [row, values.at(-1) ?? '']
  }

  /**
   * Judges reads against the contract: a read must return a version that was current at some time after its start minus
   * `contractMs`. `initial` is the value of a row before its first commit here.
   *
   * A commit's time is taken before its record is flushed, and a disk that stalls keeps it invisible for longer than any contract. What
   * the database itself answers to a load tells: a commit that a load did not see was not visible when that load began.
   */
  judge(reads: Iterable<LoggedRead>, contractMs: number, initial = '0'): Judgement {
    let checked = 0
    let violations = 0
    let maxStalenessMs = 0
    let fromNowhere = 0
    let atRisk = 0
    const examples: string[] = []
    const all = [...reads]
    const unseen = this.#unseenByLoads(all, initial)
    for (const read of all) {
      checked += 1
      if (HITS.has(read.layer) && read.startedAtUs < this.#lastCommitUs) atRisk += 1
      const stalenessMs = this.#stalenessMs(read, initial, unseen)
      if (stalenessMs === null) fromNowhere += 1
      else if (stalenessMs > maxStalenessMs) maxStalenessMs = stalenessMs
      if (stalenessMs !== null && stalenessMs <= contractMs) continue
      violations += 1
      if (examples.length < MAX_EXAMPLES)
        examples.push(`${read.row} = ${read.value} by ${read.layer}: ${stalenessMs} ms`)
    }
    return { checked, violations, maxStalenessMs, fromNowhere, atRisk, examples }
  }

  /** Until when a commit was certainly not visible, µs, by the loads that it would have shown itself to. */
  #unseenByLoads(reads: readonly LoggedRead[], initial: string): ReadonlyMap<number, number> {
    const unseen = new Map<number, number>()
    for (const read of reads) {
      if (read.layer !== 'load') continue
      const history = this.#rows.get(read.row)
      const commit = history?.commits[(this.#versionOf(read, initial) ?? Number.NaN) + 1]
      if (commit !== undefined) unseen.set(commit, Math.max(unseen.get(commit) ?? 0, read.startedAtUs))
    }
    return unseen
  }

  /** Position of the version that was read; -1 for the one before the first commit, null for one that never was. */
  #versionOf(read: LoggedRead, initial: string): number | null {
    const history = this.#rows.get(read.row)
    // A commit's time is taken before the commit becomes visible, so a value that was read had been committed by then.
    const at = history?.at.get(read.value)?.findLast((position) => (history.times[position] ?? 0) <= read.endedAtUs)
    return at ?? (read.value === initial ? -1 : null)
  }

  #stalenessMs(read: LoggedRead, initial: string, unseen: ReadonlyMap<number, number>): number | null {
    const version = this.#versionOf(read, initial)
    if (version === null) return null
    const history = this.#rows.get(read.row)
    const overwrittenAtUs = history?.times[version + 1]
    if (history === undefined || overwrittenAtUs === undefined) return 0
    const visibleAtUs = Math.max(overwrittenAtUs, unseen.get(history.commits[version + 1] ?? 0) ?? 0)
    return Math.max(0, (read.startedAtUs - visibleAtUs) / 1000)
  }
}
