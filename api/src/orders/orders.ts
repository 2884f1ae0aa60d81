import { createHash } from 'node:crypto'
import type { Database, Sql } from '../database.ts'

/** What is ordered, by product, each once. */
export interface OrderLine {
  readonly productId: number
  readonly quantity: number
}

/** `accepted` until a worker has decided; the others are final. */
export type OrderState = 'accepted' | 'confirmed' | 'rejected' | 'failed'

/** An order as its customer sees it. */
export interface Order {
  readonly id: string
  readonly state: OrderState
  /** Why it was not confirmed. */
  readonly reason: string | null
  readonly lines: readonly OrderLine[]
}

/** An order as it arrives. */
export interface NewOrder {
  readonly id: string
  readonly customer: string
  /** Chosen by the client: the same key again is the same order. */
  readonly key: string
  readonly lines: readonly OrderLine[]
}

/** `mismatch`: the key was used for another order. */
export type Placed = { readonly kind: 'placed' | 'replayed'; readonly order: Order } | { readonly kind: 'mismatch' }

const COLUMNS = 'id::text as id, state, reason, lines, request_hash as hash'
const PLACE = `insert into public.orders (id, customer, idempotency_key, request_hash, lines) values ($1, $2, $3, $4, $5)
  on conflict (customer, idempotency_key) do nothing returning ${COLUMNS}`
const BY_KEY = `select ${COLUMNS} from public.orders where customer = $1 and idempotency_key = $2`
const BY_ID = `select ${COLUMNS} from public.orders where customer = $1 and id = $2`
const WAITING = `update public.orders set sent_at = now() where id in (
    select id from public.orders where state = 'accepted' and sent_at < now() - make_interval(secs => $1)
    order by sent_at limit $2 for update skip locked
  ) returning id::text as id`
const LOCK = `select ${COLUMNS} from public.orders where id = $1 for update`
const STOCK = `select product_id::float8 as "productId", available from public.stock
  where product_id = any ($1::bigint[]) order by product_id for update`
const TAKE = `update public.stock set available = available - taken.quantity
  from unnest($1::bigint[], $2::int[]) as taken (product_id, quantity) where stock.product_id = taken.product_id`
const SELL = `insert into public.sales (product_id, order_id, quantity)
  select product_id, $1::uuid, quantity from unnest($2::bigint[], $3::int[]) as sold (product_id, quantity)`
const DECIDE = 'update public.orders set state = $2, reason = $3 where id = $1'

type Row = Order & { readonly hash: string }

const orderOf = ({ id, state, reason, lines }: Row): Order => ({ id, state, reason, lines })

/** Says the same of two orders only if they ask for the same, in whatever order of lines. */
export function hashOf(lines: readonly OrderLine[]): string {
  const sorted = lines
    .toSorted((a, b) => a.productId - b.productId)
    .map(({ productId, quantity }) => [productId, quantity])
  return createHash('sha256').update(JSON.stringify(sorted)).digest('base64url')
}

/** Accepts an order, once per key: after this resolves it is on the disk of the database, whatever becomes of the log. */
export async function placeOrder(database: Sql, { id, customer, key, lines }: NewOrder): Promise<Placed> {
  const hash = hashOf(lines)
  const values = [id, customer, key, hash, JSON.stringify(lines)]
  const [placed] = await database.rows<Row>('order-place', PLACE, values)
  if (placed) return { kind: 'placed', order: orderOf(placed) }
  // A statement of its own: the order that was in the way may have been committed only while the insert waited for it.
  const [known] = await database.rows<Row>('order-by-key', BY_KEY, [customer, key])
  return known?.hash === hash ? { kind: 'replayed', order: orderOf(known) } : { kind: 'mismatch' }
}

/** One's own order; null for anybody else's. */
export async function orderOfCustomer(database: Sql, customer: string, id: string): Promise<Order | null> {
  const [row] = await database.rows<Row>('order-by-id', BY_ID, [customer, id])
  return row ? orderOf(row) : null
}

/** Orders that have waited for `seconds`: accepted, but maybe lost on the way to the log. Each is answered once per wait. */
export async function waitingOrders(database: Sql, seconds: number, limit: number): Promise<string[]> {
  return (await database.rows<{ id: string }>('orders-waiting', WAITING, [seconds, limit])).map(({ id }) => id)
}

/**
 * Decides an order: takes its lines out of stock and notes the sale, or rejects it, in one transaction that begins by looking
 * whether it is still to be decided. Answers what it came to; null where there is no such order.
 */
export async function decideOrder(database: Database, id: string): Promise<Order | null> {
  const { row } = await database.transact(async (sql): Promise<Order | null> => {
    const [known] = await sql.rows<Row>('order-lock', LOCK, [id])
    if (!known) return null
    const order = orderOf(known)
    if (order.state !== 'accepted') return order
    const ids = order.lines.map(({ productId }) => productId)
    const stock = await sql.rows<{ productId: number; available: number }>('order-stock', STOCK, [ids])
    const available = new Map(stock.map((line) => [line.productId, line.available]))
    const short = order.lines.find(({ productId, quantity }) => (available.get(productId) ?? 0) < quantity)
    if (short) {
      const reason = `product ${short.productId}: ${available.get(short.productId) ?? 0} in stock`
      await sql.rows('order-decide', DECIDE, [id, 'rejected', reason])
      return { ...order, state: 'rejected', reason }
    }
    const quantities = order.lines.map(({ quantity }) => quantity)
    await sql.rows('order-take', TAKE, [ids, quantities])
    await sql.rows('order-sell', SELL, [id, ids, quantities])
    await sql.rows('order-decide', DECIDE, [id, 'confirmed', null])
    return { ...order, state: 'confirmed' }
  })
  return row
}

/** Gives an order up, unless it was decided meanwhile. */
export async function failOrder(database: Sql, id: string, reason: string): Promise<void> {
  const text = `update public.orders set state = 'failed', reason = $2 where id = $1 and state = 'accepted'`
  await database.rows('order-fail', text, [id, reason])
}
