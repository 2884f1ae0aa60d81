import type { Counter } from '@lockstep/runtime'
import type { ChangeOp } from '@lockstep/schemas'

/** Counts rows by table and kind, and hands the sums to a counter once per turn of the event loop. */
export class Tally {
  readonly #counter: Counter
  readonly #byTable = new Map<string, Map<ChangeOp, number>>()

  constructor(counter: Counter) {
    this.#counter = counter
  }

  add(table: string, op: ChangeOp): void {
    if (this.#byTable.size === 0) queueMicrotask(() => this.#flush())
    let byOp = this.#byTable.get(table)
    if (byOp === undefined) this.#byTable.set(table, (byOp = new Map()))
    byOp.set(op, (byOp.get(op) ?? 0) + 1)
  }

  #flush(): void {
    for (const [table, byOp] of this.#byTable) for (const [op, rows] of byOp) this.#counter.inc({ table, op }, rows)
    this.#byTable.clear()
  }
}
