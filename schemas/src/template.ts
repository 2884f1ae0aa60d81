import type { Columns } from './events.ts'
import { EVERYTHING, classOf, classTag, parseTag } from './tag.ts'
import type { Tag } from './tag.ts'

/** A tag with `{column}` placeholders behind a literal class, compiled. */
export interface TagTemplate {
  readonly text: string
  /** Literal pieces; `columns[i]` stands between `literals[i]` and `literals[i + 1]`. */
  readonly literals: readonly string[]
  readonly columns: readonly string[]
  readonly tagClass: string
  /** What stands in wherever a row cannot tell the tag. */
  readonly classTag: Tag
}

const PLACEHOLDER = /\{([^{}]*)\}/g

/** Compiles `product:{id}`. @throws RangeError naming what is wrong and what to write instead. */
export function parseTemplate(text: string): TagTemplate {
  const columns: string[] = []
  const literals: string[] = []
  let end = 0
  for (const match of text.matchAll(PLACEHOLDER)) {
    literals.push(text.slice(end, match.index))
    columns.push(match[1]!)
    end = match.index + match[0].length
  }
  literals.push(text.slice(end))
  if (literals.some((literal) => /[{}]/.test(literal)))
    throw new RangeError('a brace has no partner; write a column as {name}')
  if (columns.includes('')) throw new RangeError('{} names no column; write {name}')
  if (columns.length > 0 && !literals[0]!.includes(':'))
    throw new RangeError('the class before the first colon must be literal; write class:{column}')
  const tagClass = classOf(parseTag(literals.join('')))
  if (tagClass === EVERYTHING) throw new RangeError('the class * means everything and is reserved; choose a name')
  return { text, literals, columns, tagClass, classTag: parseTag(classTag(tagClass)) }
}

/** What one row makes of a template: its tag, `null` (a NULL column: no tag), or 'unknown' (a column was not sent). */
export type Rendered = Tag | null | 'unknown'

/**
 * Renders a template for a row. `fallback` supplies columns that the row leaves out: the old row for the new one, as a
 * value that was not sent did not change. Text that cannot be a tag gives the class tag.
 */
export function render(template: TagTemplate, row: Columns, fallback: Columns): Rendered {
  let text = template.literals[0]!
  let complete = true
  for (let index = 0; index < template.columns.length; index++) {
    const value = columnOf(row, fallback, template.columns[index]!)
    if (value === null) return null
    if (value === undefined) complete = false
    else text += value + template.literals[index + 1]!
  }
  if (!complete) return 'unknown'
  try {
    return parseTag(text)
  } catch {
    return template.classTag
  }
}

/** Tells whether a row carries a column; names like `constructor` are columns as well. */
export function carries(row: Columns, column: string): boolean {
  return Object.hasOwn(row, column) && row[column] !== undefined
}

function columnOf(row: Columns, fallback: Columns, column: string): string | null | undefined {
  if (carries(row, column)) return row[column]
  return carries(fallback, column) ? fallback[column] : undefined
}
