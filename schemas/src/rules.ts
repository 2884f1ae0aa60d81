import type { Change, Columns } from './events.ts'
import { parseRulesText } from './rules-parser.ts'
import type { ParsedRule, RowOp } from './rules-parser.ts'
import { classTag } from './tag.ts'
import type { Tag } from './tag.ts'
import { carries, render } from './template.ts'
import type { TagTemplate } from './template.ts'

/** Compiled `lockstep.rules.yaml`. */
export interface RuleSet {
  readonly tables: ReadonlyMap<string, TableRules>
}

/** All rules of one table and what they need of its rows. */
export interface TableRules {
  /** `schema.table`. */
  readonly table: string
  /** Columns that some rule reads, in first-use order. */
  readonly columns: readonly string[]
  /** Columns whose OLD value some rule on update or delete needs. */
  readonly oldColumns: readonly string[]
  /** Columns in `watch` lists. */
  readonly watchColumns: readonly string[]
  /** Classes of all tags of this table: what a truncate, bulk or unknown change fences. */
  readonly classes: readonly string[]
  readonly rules: readonly TagRule[]
}

/** One rule: rows of these operations change the tags of this template. */
export interface TagRule {
  readonly template: TagTemplate
  readonly on: ReadonlySet<RowOp>
  /** An update counts only when one of these or a column of the template may have changed; empty: every update counts. */
  readonly watch: readonly string[]
}

/** One rule in plain words, for help texts and `lockstep doctor`. */
export interface RuleDescription {
  readonly table: string
  readonly tag: string
  readonly tagClass: string
  readonly on: readonly RowOp[]
  readonly watch: readonly string[]
  /** Columns whose old value this rule needs; the table's replica identity must carry them. */
  readonly oldColumns: readonly string[]
}

/** Compiles the text of a rules file. @throws RulesError (config) listing every fault with its place and remedy. */
export function parseRules(yaml: string): RuleSet {
  const tables = new Map<string, TableRules>()
  for (const [table, rules] of parseRulesText(yaml)) tables.set(table, compileTable(table, rules))
  return { tables }
}

/**
 * Derives the tags of one change, each once. The old and the new row both count, as the row left one tag and entered
 * the other. Where a needed column is missing the class tag stands in, so nothing that changed is left unfenced:
 * truncate, bulk and unknown changes name every class of the table. A table without rules has no tags.
 */
export function tagsOf(rules: RuleSet, change: Change): Tag[] {
  const table = rules.tables.get(change.table)
  if (!table) return []
  const tags = new Set<Tag>()
  switch (change.op) {
    case 'insert':
    case 'update':
    case 'delete':
      for (const rule of table.rules) if (rule.on.has(change.op)) addRowTags(tags, rule, change)
      break
    default:
      // Truncate, bulk, unknown, and whatever a newer version may add.
      for (const name of table.classes) tags.add(classTag(name))
  }
  return [...tags]
}

/** Lists the rules as plain rows, in the order of the file. */
export function describeRules(rules: RuleSet): RuleDescription[] {
  return [...rules.tables.values()].flatMap(({ table, rules: list }) =>
    list.map((rule) => ({
      table,
      tag: rule.template.text,
      tagClass: rule.template.tagClass,
      on: [...rule.on],
      watch: rule.watch,
      oldColumns: oldColumnsOf(rule),
    })),
  )
}

const NO_COLUMNS: Columns = Object.freeze({})

function addRowTags(tags: Set<Tag>, rule: TagRule, change: Change): void {
  const { before, after } = change
  if (change.op === 'update' && !updateCounts(rule, before, after)) return
  if (change.op !== 'delete') addTag(tags, rule.template, { row: after, fallback: before })
  if (change.op !== 'insert') addTag(tags, rule.template, { row: before, fallback: NO_COLUMNS })
}

function addTag(tags: Set<Tag>, template: TagTemplate, from: { row: Columns; fallback: Columns }): void {
  const rendered = render(template, from.row, from.fallback)
  if (rendered !== null) tags.add(rendered === 'unknown' ? template.classTag : rendered)
}

/** A column that moves the row from one tag to another counts even when it is not watched. */
function updateCounts(rule: TagRule, before: Columns, after: Columns): boolean {
  if (rule.watch.length === 0) return true
  const mayDiffer = (column: string) =>
    !carries(before, column) || (carries(after, column) && before[column] !== after[column])
  return rule.watch.some(mayDiffer) || rule.template.columns.some(mayDiffer)
}

function compileTable(table: string, parsed: readonly ParsedRule[]): TableRules {
  const rules = parsed.map(({ template, on, watch }): TagRule => ({ template, on: new Set(on), watch }))
  return {
    table,
    columns: unique(rules.flatMap((rule) => [...rule.template.columns, ...rule.watch])),
    oldColumns: unique(rules.flatMap(oldColumnsOf)),
    watchColumns: unique(rules.flatMap((rule) => rule.watch)),
    classes: unique(rules.map((rule) => rule.template.tagClass)),
    rules,
  }
}

function oldColumnsOf(rule: TagRule): string[] {
  const needsOldRow = rule.on.has('update') || rule.on.has('delete')
  return needsOldRow ? unique([...rule.template.columns, ...rule.watch]) : []
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)]
}
