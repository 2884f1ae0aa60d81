import { LineCounter, parseDocument } from 'yaml'
import { RulesError } from './errors.ts'
import { parseTemplate } from './template.ts'
import type { TagTemplate } from './template.ts'

/** Row operations a rule may name in `on`. */
export const ROW_OPS = ['insert', 'update', 'delete'] as const
/** Names one of {@link ROW_OPS}. */
export type RowOp = (typeof ROW_OPS)[number]

/** One rule as written, checked. */
export interface ParsedRule {
  readonly template: TagTemplate
  readonly on: readonly RowOp[]
  /** Empty when every update counts. */
  readonly watch: readonly string[]
}

/**
 * Most rules of one table. A row can name two tags by each, and all tags of a change go to Redis in one call, which can take
 * some 3,990 (the stack of its Lua holds 8,000 values).
 */
export const MAX_RULES_PER_TABLE = 500

const RULE_KEYS = ['tag', 'on', 'watch']
const DEFAULT_SCHEMA = 'public'

/** Reads the text of a rules file into rules by `schema.table`. @throws RulesError listing every fault. */
export function parseRulesText(yaml: string): ReadonlyMap<string, readonly ParsedRule[]> {
  const faults: string[] = []
  const root = readYaml(yaml, faults)
  const tables = faults.length === 0 ? readTables(root, faults) : new Map<string, readonly ParsedRule[]>()
  if (faults.length > 0) throw new RulesError(faults)
  return tables
}

function readYaml(yaml: string, faults: string[]): unknown {
  const lineCounter = new LineCounter()
  const document = parseDocument(yaml, { lineCounter, prettyErrors: false, version: '1.2' })
  for (const problem of [...document.errors, ...document.warnings]) {
    const { line, col } = lineCounter.linePos(problem.pos[0])
    faults.push(`line ${line}, column ${col}: ${problem.message}`)
  }
  if (faults.length > 0) return undefined
  try {
    return document.toJS()
  } catch (error) {
    // Too many aliases: a file that would expand without bound.
    faults.push(`the file: ${(error as Error).message}; write the rules out without aliases`)
    return undefined
  }
}

function readTables(root: unknown, faults: string[]): ReadonlyMap<string, readonly ParsedRule[]> {
  const tables = new Map<string, readonly ParsedRule[]>()
  if (!isMap(root)) {
    faults.push('the file: must be a map; begin it with "tables:"')
    return tables
  }
  refuseUnknownKeys(root, { at: 'the file', known: ['tables'] }, faults)
  if (!isMap(root.tables) || Object.keys(root.tables).length === 0) {
    faults.push('tables: must map at least one table to its rules, as in "public.products: [{tag: \'product:{id}\'}]"')
    return tables
  }
  for (const [name, rules] of Object.entries(root.tables)) {
    const at = `tables.${name}`
    const table = readTableName(name, faults)
    if (table === undefined) continue
    if (tables.has(table)) faults.push(`${at}: names ${table} a second time; put all its rules under one name`)
    tables.set(table, readRules(rules, at, faults))
  }
  return tables
}

function readTableName(name: string, faults: string[]): string | undefined {
  const parts = name.split('.')
  if (parts.length <= 2 && parts.every((part) => part !== '' && part.trim() === part))
    return parts.length === 2 ? name : `${DEFAULT_SCHEMA}.${name}`
  faults.push(`tables.${name}: is not a table; write schema.table or table, unquoted, without further dots`)
  return undefined
}

function readRules(rules: unknown, at: string, faults: string[]): readonly ParsedRule[] {
  if (!Array.isArray(rules) || rules.length === 0) {
    faults.push(`${at}: must be a list of rules, as in "- tag: product:{id}"`)
    return []
  }
  if (rules.length > MAX_RULES_PER_TABLE) {
    faults.push(
      `${at}: has ${rules.length} rules, the most is ${MAX_RULES_PER_TABLE}; let tags of one class share a rule`,
    )
    return []
  }
  return rules.flatMap((rule: unknown, index) => readRule(rule, `${at}[${index}]`, faults) ?? [])
}

function readRule(rule: unknown, at: string, faults: string[]): ParsedRule | undefined {
  if (!isMap(rule)) {
    faults.push(`${at}: must be a map with a tag, as in "tag: product:{id}"`)
    return undefined
  }
  refuseUnknownKeys(rule, { at, known: RULE_KEYS }, faults)
  const template = readTemplate(rule.tag, `${at}.tag`, faults)
  const on = rule.on === undefined ? ROW_OPS : readNames(rule.on, `${at}.on`, faults)
  for (const op of on)
    if (!ROW_OPS.includes(op as RowOp))
      faults.push(`${at}.on: ${op} is no operation; choose from ${ROW_OPS.join(', ')}`)
  const watch = rule.watch === undefined ? [] : readNames(rule.watch, `${at}.watch`, faults)
  if (watch.length > 0 && !on.includes('update'))
    faults.push(`${at}.watch: only updates can be watched; add update to "on" or drop "watch"`)
  return template && { template, on: on as readonly RowOp[], watch }
}

function readTemplate(tag: unknown, at: string, faults: string[]): TagTemplate | undefined {
  if (typeof tag !== 'string') {
    faults.push(`${at}: must be text, as in product:{id}; put quotes around it if YAML reads it otherwise`)
    return undefined
  }
  try {
    return parseTemplate(tag)
  } catch (error) {
    faults.push(`${at}: ${(error as Error).message}`)
    return undefined
  }
}

function readNames(value: unknown, at: string, faults: string[]): readonly string[] {
  const isList = Array.isArray(value) && value.length > 0
  if (isList && value.every((name) => typeof name === 'string' && name !== '') && new Set(value).size === value.length)
    return value as string[]
  faults.push(
    `${at}: must be a list of different names, as in [${at.endsWith('.on') ? 'insert, delete' : 'price, stock'}]`,
  )
  return []
}

function refuseUnknownKeys(map: YamlMap, place: { at: string; known: readonly string[] }, faults: string[]): void {
  for (const key of Object.keys(map))
    if (!place.known.includes(key))
      faults.push(`${place.at}: unknown key ${key}; known here: ${place.known.join(', ')}`)
}

type YamlMap = Readonly<Record<string, unknown>>

function isMap(value: unknown): value is YamlMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
