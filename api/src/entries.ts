import type { Cache, Entry } from '@lockstep/cache'
import type { Category, Product, ShopReads } from './ports.ts'

/** Key of a category's list: the limit is part of what is cached. */
export interface ListArgs {
  readonly categoryId: number
  readonly limit: number
}

/** Everything the shop reads through the cache. */
export interface ShopEntries {
  readonly product: Entry<number, Product>
  readonly productsOf: Entry<ListArgs, Product[]>
  readonly categories: Entry<null, Category[]>
}

/** Declares what is cached, under which key, and which tags it depends on besides its key. */
export function defineEntries(cache: Cache, shop: ShopReads, ttlMs: number): ShopEntries {
  return {
    product: cache.define('product', {
      key: (id: number) => `product:${id}`,
      load: (id) => shop.product(id),
      tags: () => [],
      ttlMs,
      negativeTtlMs: ttlMs,
    }),
    productsOf: cache.define('products-of', {
      key: ({ categoryId, limit }: ListArgs) => `products-of:${categoryId}:${limit}`,
      load: ({ categoryId, limit }) => shop.productsOf(categoryId, limit),
      tags: (_products, { categoryId }) => [`category:${categoryId}`],
      ttlMs,
      negativeTtlMs: ttlMs,
    }),
    categories: cache.define('categories', {
      key: () => 'categories',
      load: () => shop.categories(),
      tags: () => [],
      ttlMs,
    }),
  }
}
