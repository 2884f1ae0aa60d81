import type { Cache, Entry } from '@lockstep/cache'
import type { Category, Product, ShopReads } from './ports.ts'
import type { ReadSource } from './replicas/read-source.ts'

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

/** One kind of read: how it is found, and what it depends on besides its key. */
export interface CachedRead<R, Args, V> {
  key(args: Args): string
  query(reads: R, args: Args): Promise<V | null>
  tags(value: V | null, args: Args): readonly string[]
}

/** What caches reads, where they are loaded from, and how long they live. */
export interface CachedReads<R> {
  readonly cache: Cache
  readonly source: ReadSource<R>
  readonly ttlMs: number
}

/** Declares one kind of cached read, "there is none" included. */
export function defineRead<R, Args, V>(
  { cache, source, ttlMs }: CachedReads<R>,
  name: string,
  read: CachedRead<R, Args, V>,
): Entry<Args, V> {
  return cache.define<Args, V>(name, {
    key: (args) => read.key(args),
    tags: (value, args) => read.tags(value, args),
    load: (args, context) =>
      source.load<V>({
        context,
        query: (reads) => read.query(reads, args),
        tagsOf: (value) => [read.key(args), ...read.tags(value, args)],
      }),
    ttlMs,
    negativeTtlMs: ttlMs,
  })
}

/** Declares what is cached of products and categories, under which key, and which tags it depends on besides its key. */
export function defineEntries(reads: CachedReads<ShopReads>): ShopEntries {
  return {
    product: defineRead(reads, 'product', {
      key: (id: number) => `product:${id}`,
      query: (shop, id) => shop.product(id),
      tags: () => [],
    }),
    productsOf: defineRead(reads, 'products-of', {
      key: ({ categoryId, limit }: ListArgs) => `products-of:${categoryId}:${limit}`,
      query: (shop, { categoryId, limit }) => shop.productsOf(categoryId, limit),
      tags: (_products, { categoryId }) => [`category:${categoryId}`],
    }),
    categories: defineRead(reads, 'categories', {
      key: () => 'categories',
      query: (shop) => shop.categories(),
      tags: () => [],
    }),
  }
}
