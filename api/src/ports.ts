import type { Clock } from '@lockstep/schemas'

/** A product as every layer serves it. */
export interface Product {
  readonly id: number
  readonly name: string
  readonly priceCents: number
  readonly categoryId: number
  /** Counts the changes of the row, from 1. */
  readonly version: number
  /** ISO 8601, UTC, to the microsecond. */
  readonly updatedAt: string
}

/** A category as every layer serves it. */
export interface Category {
  readonly id: number
  readonly name: string
}

/** What a client says of a product. */
export type NewProduct = Pick<Product, 'name' | 'priceCents' | 'categoryId'>

/** Reads of the primary. Every call begins its own statement, so what it returns is at least as new as its start. */
export interface ShopReads {
  /** Null where there is none. */
  product(id: number): Promise<Product | null>
  /** The first ones by id; null where the category does not exist. */
  productsOf(categoryId: number, limit: number): Promise<Product[] | null>
  /** All of them, by id. */
  categories(): Promise<Category[]>
}

/** What a committed write leaves: its row, and the clock of a snapshot taken after the commit. */
export interface Written<T> {
  readonly row: T
  readonly clock: Clock
}

/**
 * Writes to the primary; each is one transaction, not repeatable without reading first. Null where the row does not exist.
 * A rejection with LOCKSTEP_API_DATABASE_UNREACHABLE leaves open whether the write took place.
 */
export interface ShopWrites {
  /** @throws LockstepError LOCKSTEP_API_UNKNOWN_CATEGORY. */
  create(product: NewProduct, editor: string | null): Promise<Written<Product>>
  /** Changes what is given. @throws LockstepError LOCKSTEP_API_UNKNOWN_CATEGORY. */
  update(id: number, change: Partial<NewProduct>, editor: string | null): Promise<Written<Product> | null>
  remove(id: number): Promise<Written<{ readonly id: number }> | null>
}

/** Personal reads, which no layer caches. */
export interface RecentChanges {
  /** Products that this editor created or changed, the latest first. */
  changedBy(editor: string, limit: number): Promise<Product[]>
}

/**
 * How many connections the pool has open, how many of them nobody uses, who waits for one, who got none,
 * and the most there may be.
 */
export interface PoolUse {
  readonly total: number
  readonly idle: number
  readonly waiting: number
  readonly refused: number
  readonly limit: number
}
