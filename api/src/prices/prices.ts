import type { Entry } from '@lockstep/cache'
import type { Database, Sql } from '../database.ts'
import { defineRead, type CachedReads } from '../entries.ts'
import type { Written } from '../ports.ts'

/** What a product costs in a currency besides its own. */
export interface Price {
  /** ISO 4217. */
  readonly currency: string
  readonly priceCents: number
}

const PRICES = `select c.currency, c.price_cents as "priceCents" from public.products p
  left join public.prices c on c.product_id = p.id where p.id = $1 order by c.currency`

const SET = `insert into public.prices (product_id, currency, price_cents)
  select id, $2, $3::int from public.products where id = $1
  on conflict (product_id, currency) do update set price_cents = excluded.price_cents
  returning currency, price_cents as "priceCents"`

/** Prices of a product; without any, only `product:ID` tells that it came or went. */
export function definePrices(reads: CachedReads<Sql>): Entry<number, Price[]> {
  return defineRead(reads, 'prices', {
    key: (productId: number) => `prices:${productId}`,
    async query({ rows }, productId) {
      const prices = await rows<{ currency: string | null; priceCents: number }>('prices', PRICES, [productId])
      return prices.length === 0 ? null : prices.filter((price): price is Price => price.currency !== null)
    },
    tags: (prices, productId) => (prices && prices.length > 0 ? [] : [`product:${productId}`]),
  })
}

/** Sets a price; null where there is no such product. */
export function setPrice(database: Database, productId: number, price: Price): Promise<Written<Price> | null> {
  return database.write<Price>(SET, [productId, price.currency, price.priceCents])
}
