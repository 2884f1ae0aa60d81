import { decodeEvent, sees, type Change, type Columns, type LogEvent, type Snapshot } from '@lockstep/schemas'

/** What some changes add to the read model; several may be summed in any order. */
export interface Delta {
  /** Product → units sold. */
  readonly sold: Map<string, number>
  /** Category → products. */
  readonly categories: Map<string, number>
}

/** `rebuild`: something happened that no sum can tell. */
export type Projected =
  | { readonly kind: 'delta'; readonly delta: Delta }
  | { readonly kind: 'rebuild'; readonly reason: string }

const PRODUCTS = 'public.products'
const SALES = 'public.sales'

/**
 * Sums what records of `changes` add to a model that was built from `snapshot`: what that snapshot saw is in the model
 * already, whenever the log brings it.
 */
export function project(records: readonly { readonly value: Buffer }[], snapshot: Snapshot): Projected {
  const delta: Delta = { sold: new Map(), categories: new Map() }
  for (const { value } of records) {
    let event: LogEvent
    try {
      event = decodeEvent(value)
    } catch {
      return { kind: 'rebuild', reason: 'unreadable-record' }
    }
    if (event.kind === 'flush') return { kind: 'rebuild', reason: event.reason }
    if (event.kind !== 'change' || (event.table !== PRODUCTS && event.table !== SALES)) continue
    if (event.op !== 'insert' && event.op !== 'update' && event.op !== 'delete')
      return { kind: 'rebuild', reason: `${event.op}-of-a-table` }
    if (sees(snapshot, event.xid)) continue
    if (!addChange(delta, event)) return { kind: 'rebuild', reason: 'columns-missing' }
  }
  return { kind: 'delta', delta }
}

/** The new row counts, the old one is taken back; false where a column that is needed was not sent. */
function addChange(delta: Delta, { table, op, before, after }: Change): boolean {
  const add = table === PRODUCTS ? addProduct : addSale
  const isAdded = op === 'delete' || add(delta, after, 1)
  return isAdded && (op === 'insert' || add(delta, before, -1))
}

function addProduct({ categories }: Delta, row: Columns, sign: number): boolean {
  const category = row['category_id']
  if (typeof category !== 'string') return false
  bump(categories, category, sign)
  return true
}

function addSale({ sold }: Delta, row: Columns, sign: number): boolean {
  const { product_id: product, quantity } = row
  if (typeof product !== 'string' || typeof quantity !== 'string') return false
  bump(sold, product, sign * Number(quantity))
  return true
}

function bump(counts: Map<string, number>, key: string, by: number): void {
  const sum = (counts.get(key) ?? 0) + by
  if (sum === 0) counts.delete(key)
  else counts.set(key, sum)
}
