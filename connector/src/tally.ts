import type { Counter } from '@lockstep/runtime'
import type { ChangeOp } from '@lockstep/schemas'

/** Counts rows by table and kind, and hands the sums to a counter once per turn of the event loop. */
export class Tally {
  readonly #counter: Counter
  /** Tables and kinds once seen stay, with 0: emptied maps would be replaced by new ones turn by turn. */
  readonly #byTable = new Map<string, Map<ChangeOp, number>>()
  #isScheduled = false

  constructor(counter: Counter) {
    this.#counter = counter
  }

  add(table: string, op: ChangeOp): void {
    let byOp = this.#byTable.get(table)
    if (byOp === undefined) this.#byTable.set(table, (byOp = new Map()))
    byOp.set(op, (byOp.get(op) ?? 0) + 1)
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    this.#isScheduled = false
    for (const [table, byOp] of this.#byTable) {
      for (const [op, rows] of byOp) {
        if (rows === 0) continue
        this.#counter.inc({ table, op }, rows)
        byOp.set(op, 0)
      }
    }
  }
}
