import type { Clock } from '@lockstep/schemas'
import { fail } from '../errors.ts'
import type { Category, NewProduct, Product, RecentChanges, ShopReads, ShopWrites, Written } from '../ports.ts'

/** The shop in memory; the contract suite runs on it and on Postgres. */
export class MemoryShop implements ShopReads, ShopWrites, RecentChanges {
  /** Rejects every call while set. */
  failure: Error | null = null
  /** Holds every read of a product until it resolves. */
  gate: Promise<void> = Promise.resolve()
  readonly #commit: () => Clock
  readonly #products = new Map<number, Product>()
  readonly #categories: readonly Category[]
  readonly #edits = new Map<string, number[]>()
  #ticks = 0

  /** @param commit answers the clock of a snapshot that sees the write made just before. */
  constructor(commit: () => Clock, categories: readonly Category[]) {
    this.#commit = commit
    this.#categories = categories
  }

  async product(id: number): Promise<Product | null> {
    await this.#answer()
    const found = this.#products.get(id) ?? null
    await this.gate
    return found
  }

  async productsOf(categoryId: number, limit: number): Promise<Product[] | null> {
    await this.#answer()
    if (!this.#isKnown(categoryId)) return null
    const members = [...this.#products.values()].filter((product) => product.categoryId === categoryId)
    return members.toSorted((a, b) => a.id - b.id).slice(0, limit)
  }

  async categories(): Promise<Category[]> {
    await this.#answer()
    return [...this.#categories]
  }

  async create(product: NewProduct, editor: string | null): Promise<Written<Product>> {
    await this.#answer()
    const id = Math.max(0, ...this.#products.keys()) + 1
    return this.#write({ ...product, id, version: 1, updatedAt: '' }, editor)
  }

  async update(id: number, change: Partial<NewProduct>, editor: string | null): Promise<Written<Product> | null> {
    await this.#answer()
    const before = this.#products.get(id)
    return before ? this.#write({ ...before, ...change, version: before.version + 1 }, editor) : null
  }

  async remove(id: number): Promise<Written<{ readonly id: number }> | null> {
    await this.#answer()
    return this.#products.delete(id) ? { row: { id }, clock: this.#commit() } : null
  }

  async changedBy(editor: string, limit: number): Promise<Product[]> {
    await this.#answer()
    const products = (this.#edits.get(editor) ?? []).map((id) => this.#products.get(id))
    return products.filter((product) => product !== undefined).slice(0, limit)
  }

  #write(product: Product, editor: string | null): Written<Product> {
    if (!this.#isKnown(product.categoryId)) throw fail('LOCKSTEP_API_UNKNOWN_CATEGORY')
    this.#ticks += 1
    const row = { ...product, updatedAt: `2026-01-01T00:00:00.${String(this.#ticks).padStart(6, '0')}Z` }
    this.#products.set(row.id, row)
    if (editor !== null) {
      const others = (this.#edits.get(editor) ?? []).filter((id) => id !== row.id)
      this.#edits.set(editor, [row.id, ...others])
    }
    return { row, clock: this.#commit() }
  }

  #isKnown(categoryId: number): boolean {
    return this.#categories.some(({ id }) => id === categoryId)
  }

  async #answer(): Promise<void> {
    await Promise.resolve()
    if (this.failure) throw this.failure
  }
}
