/** A named dependency `class:rest`; the same tag is the L1/L2 dependency and, encoded, the CDN surrogate key. */
export type Tag = string & { readonly __brand: 'Tag' }

/** The tag every value depends on; its fence is the start of the current epoch. */
export const EVERYTHING = '*' as Tag

const MAX_TAG_BYTES = 512
// A control character would break keys, headers and logs alike; a lone surrogate has no UTF-8, so two tags would meet.
const FORBIDDEN = /[\p{Cc}\p{Surrogate}]/u

/** The part before the first `:`, or the whole tag. */
export function classOf(tag: Tag): string {
  const colon = tag.indexOf(':')
  return colon === -1 ? tag : tag.slice(0, colon)
}

/** The tag whose fence makes every value of a class invalid: `product:*`. */
export function classTag(tagClass: string): Tag {
  return `${tagClass}:*` as Tag
}

/** Tells whether a fence of this tag covers a whole class. */
export function isClassTag(tag: Tag): boolean {
  return tag.endsWith(':*')
}

/** Accepts any text a rule or an application may use as a tag. @throws RangeError naming what is wrong. */
export function parseTag(text: string): Tag {
  if (text === '') throw new RangeError('a tag must not be empty')
  if (FORBIDDEN.test(text)) throw new RangeError('a tag must not contain control characters or lone surrogates')
  if (Buffer.byteLength(text) > MAX_TAG_BYTES) throw new RangeError(`a tag must not exceed ${MAX_TAG_BYTES} bytes`)
  if (text.startsWith(':')) throw new RangeError('a tag must have a class before its first colon')
  return text as Tag
}
