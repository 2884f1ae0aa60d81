import type { TableRules } from '@lockstep/schemas'
import { quoteName, quoteTable } from './quote.ts'
import type { IdentityFacts, LeafFacts, TableFacts } from './source-facts.ts'

/** Columns whose old value rules need and the table does not log. */
export const missingOldColumns = ({ oldColumns }: TableRules, { identityColumns }: TableFacts): string[] =>
  oldColumns.filter((column) => !identityColumns.includes(column))

/**
 * Partitions that log other old values than their root. The stream describes every row by the identity of the root,
 * and what its partition did not log arrives as NULL.
 */
export function deviatingLeaves(root: IdentityFacts, leaves: readonly LeafFacts[]): LeafFacts[] {
  return leaves.filter((leaf) =>
    root.identity === 'f'
      ? leaf.identity !== 'f'
      : root.identityColumns.some((column) => !leaf.identityColumns.includes(column)),
  )
}

/** The identity a table is to have: its own where that is enough, else its primary key, else the whole row. */
export function soundIdentity(table: TableRules, found: TableFacts): IdentityFacts {
  if (found.identityColumns.length > 0 && missingOldColumns(table, found).length === 0) return found
  const isKeyEnough =
    found.primaryKey.length > 0 && table.oldColumns.every((column) => found.primaryKey.includes(column))
  // Already by its key, and yet not enough: the key is deferrable.
  return isKeyEnough && found.identity !== 'd'
    ? { ...found, identity: 'd', identityColumns: found.primaryKey }
    : { ...found, identity: 'f', identityColumns: found.columns }
}

/** Gives the table and its partitions the identity that it is to have; nothing where they have it. */
export function identityStatements(table: TableRules, found: TableFacts): string[] {
  const wanted = soundIdentity(table, found)
  const own = wanted === found ? [] : [alter(found.name, wanted.identity === 'f' ? 'FULL' : 'DEFAULT')]
  return [...own, ...leafStatements(wanted, found.leaves)]
}

/** Gives every partition that deviates the identity of its root. */
export const leafStatements = (root: IdentityFacts, leaves: readonly LeafFacts[]): string[] =>
  deviatingLeaves(root, leaves).map((leaf) => alter(leaf.name, identityLike(root, leaf)))

function identityLike(root: IdentityFacts, { identity, rootIndex }: LeafFacts): string {
  if (root.identity === 'd' && identity !== 'd') return 'DEFAULT'
  return root.identity === 'i' && rootIndex !== null ? `USING INDEX ${quoteName(rootIndex)}` : 'FULL'
}

/** The cheaper way than FULL, as comments; it needs columns that are never NULL. */
export function indexAlternative({ table, oldColumns }: TableRules, found: TableFacts): string[] {
  const columns = [...new Set([...found.primaryKey, ...oldColumns])]
  if (found.primaryKey.length === 0 || found.leaves.length > 0) return []
  if (columns.some((column) => !found.notNullColumns.includes(column))) return []
  const index = quoteName(`${table.slice(table.indexOf('.') + 1)}_lockstep`)
  return [
    '-- or, with less WAL per change:',
    `--   CREATE UNIQUE INDEX ${index} ON ${quoteTable(table)} (${columns.map(quoteName).join(', ')});`,
    `--   ${alter(table, `USING INDEX ${index}`)}`,
  ]
}

const alter = (table: string, identity: string): string =>
  `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY ${identity};`

/**
 * Columns that a publication has to carry: those of rules, the key, and the identity, without which Postgres refuses the
 * application's own UPDATE and DELETE.
 */
export function neededColumns(table: TableRules, found: TableFacts, identity: IdentityFacts = found): string[] {
  const isFull = identity.identity === 'f' || found.leaves.some((leaf) => leaf.identity === 'f')
  const needed = [...table.columns, ...found.primaryKey, ...(isFull ? found.columns : identity.identityColumns)]
  return found.columns.filter((column) => needed.includes(column) && !found.generatedColumns.includes(column))
}

const COLUMN_LISTS = 15_00_00

/** Where a table is to be published, and with what identity. */
export interface PublishTarget {
  readonly serverVersion: number
  readonly identity: IdentityFacts
}

/** `"schema"."table" ("a", "b")`; without a list where all columns are needed or the server knows no lists. */
export function publishedTable(table: TableRules, found: TableFacts, target: PublishTarget): string {
  const columns = neededColumns(table, found, target.identity)
  const isWhole = found.columns.every((column) => columns.includes(column) || found.generatedColumns.includes(column))
  const list = isWhole || target.serverVersion < COLUMN_LISTS ? '' : ` (${columns.map(quoteName).join(', ')})`
  return quoteTable(table.table) + list
}
