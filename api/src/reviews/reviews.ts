import type { Entry } from '@lockstep/cache'
import type { Database, Sql } from '../database.ts'
import { defineRead, type CachedReads } from '../entries.ts'
import type { Written } from '../ports.ts'

/** What a reader thinks of a product. */
export interface Review {
  readonly id: number
  readonly author: string
  /** 1 to 5. */
  readonly rating: number
  readonly body: string
}

/** The newest reviews of a product, and what all of them come to. */
export interface ReviewPage {
  readonly count: number
  /** To two digits; null without any. */
  readonly average: number | null
  readonly items: readonly Review[]
}

const PAGE = `select p.id, count(r.id)::int as count, round(avg(r.rating), 2)::float8 as average,
  coalesce((select json_agg(newest) from (
    select id, author, rating, body from public.reviews where product_id = $1 order by id desc limit 20
  ) newest), '[]') as items
  from public.products p left join public.reviews r on r.product_id = p.id where p.id = $1 group by p.id`

const ADD = `insert into public.reviews (product_id, author, rating, body)
  select id, $2, $3::int, $4 from public.products where id = $1 returning id::float8 as id, author, rating, body`

/**
 * The average is cached beside the page it belongs to: both hang on the tag `reviews:ID`, which any review of the product
 * fences. Without a review there is no row whose change could tell that the product came or went, so then `product:ID` counts too.
 */
export function defineReviews(reads: CachedReads<Sql>): Entry<number, ReviewPage> {
  return defineRead(reads, 'reviews', {
    key: (productId: number) => `reviews:${productId}`,
    async query({ rows }, productId) {
      const [page] = await rows<ReviewPage>('reviews', PAGE, [productId])
      return page ? { count: page.count, average: page.average, items: page.items } : null
    },
    tags: (page, productId) => (page && page.count > 0 ? [] : [`product:${productId}`]),
  })
}

/** Adds a review; null where there is no such product. */
export function addReview(
  database: Database,
  productId: number,
  { author, rating, body }: Omit<Review, 'id'>,
): Promise<Written<Review> | null> {
  return database.write<Review>(ADD, [productId, author, rating, body])
}
