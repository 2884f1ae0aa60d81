/** One committed version of a row, as the writer saw it. Times are monotonic milliseconds of one process. */
interface Commit {
  readonly version: number
  readonly acknowledgedAtMs: number
}

/** What the oracle says of one read. */
export interface Verdict {
  /** How long the returned version had been overwritten when the read began; 0 when it was current. */
  readonly stalenessMs: number
  readonly violation: boolean
}

const CURRENT: Verdict = { stalenessMs: 0, violation: false }

/**
 * Knows every commit of the rows it is told of, in version order, and judges reads: a read that began at `t` must return
 * at least the newest version acknowledged before `t − bound`. Versions of a row grow by one and are told in order.
 */
export class VersionOracle {
  readonly #commits = new Map<string, Commit[]>()
  readonly #keepMs: number

  /** @param keepMs how long overwritten versions are remembered; must exceed the largest bound. */
  constructor(keepMs: number) {
    this.#keepMs = keepMs
  }

  committed(row: string, version: number, acknowledgedAtMs: number): void {
    const commits = this.#commits.get(row) ?? []
    commits.push({ version, acknowledgedAtMs })
    // The newest forgotten commit stays as the floor: whatever lies below it has been overwritten for long.
    while (commits.length > 2 && (commits[1]?.acknowledgedAtMs ?? 0) < acknowledgedAtMs - this.#keepMs) commits.shift()
    this.#commits.set(row, commits)
  }

  judge(row: string, version: number, startedAtMs: number, boundMs: number): Verdict {
    const commits = this.#commits.get(row)
    if (!commits) return CURRENT
    // The first newer version is the one that made the returned one stale.
    const overwrittenBy = commits.find((commit) => commit.version > version)
    if (!overwrittenBy || overwrittenBy.acknowledgedAtMs >= startedAtMs) return CURRENT
    const stalenessMs = startedAtMs - overwrittenBy.acknowledgedAtMs
    return { stalenessMs, violation: stalenessMs > boundMs }
  }
}
