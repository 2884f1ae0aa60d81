import { Type } from 'typebox'

// Parameters, queries and bodies of every route. Unknown properties are refused, so nothing unkeyed reaches a cache.
const strict = { additionalProperties: false } as const

/** Describes a product in answers. */
export const ProductBody = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  priceCents: Type.Integer(),
  categoryId: Type.Integer(),
  version: Type.Integer(),
  updatedAt: Type.String(),
})

/** Describes a list of products in answers. */
export const ProductList = Type.Object({ items: Type.Array(ProductBody) })

/** Describes the list of categories in answers. */
export const CategoryList = Type.Object({
  items: Type.Array(Type.Object({ id: Type.Integer(), name: Type.String() })),
})

/** Accepts an id: the largest is what JavaScript, JSON and int8 agree on. */
export const id = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** Accepts an id in the path. */
export const IdParams = Type.Object({ id }, strict)

/** Accepts no query at all. */
export const NoQuery = Type.Object({}, strict)

/** Accepts the length of a list. */
export const ListQuery = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })) }, strict)

/** Accepts text without control characters: Postgres refuses NUL, and no name needs the others. */
export const text = (maxLength: number) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[^\\u0000-\\u001f\\u007f]*$' })

const name = text(200)
/** Accepts a price. */
export const priceCents = Type.Integer({ minimum: 0, maximum: 100_000_000 })

/** Accepts a new product. */
export const NewProductBody = Type.Object({ name, priceCents, categoryId: id }, strict)

/** Accepts a change of a product: at least one property. */
export const ProductChangeBody = Type.Object(
  { name: Type.Optional(name), priceCents: Type.Optional(priceCents), categoryId: Type.Optional(id) },
  { ...strict, minProperties: 1 },
)

/** Describes a problem in answers (RFC 9457). */
export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.Optional(Type.String()),
  requestId: Type.Optional(
    Type.String({ description: 'As in X-Request-Id and in the log; absent where caches may keep it.' }),
  ),
})

/** What any route may answer besides its own success. */
export const PROBLEMS = { '4xx': Problem, '5xx': Problem } as const
