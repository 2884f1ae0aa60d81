import { encodeColumnName } from '@lockstep/schemas'
import type { RuleSet, TableRules } from '@lockstep/schemas'
import type { PgoutputReader } from './pgoutput-reader.ts'

const KEY_FLAG = 1

/** Per column of a tuple: its encoded name where its value is wanted, else null. */
export type Selection = readonly (Buffer | null)[]

/** How rows of one table are read, made new by each Relation message. Null stands for a table without rules. */
export interface RelationPlan {
  readonly table: string
  /** `schema.table`, what every record key of the table begins with. */
  readonly keyPrefix: Buffer
  /** Wanted columns of a whole row. */
  readonly row: Selection
  /** Wanted columns of a key tuple: all others are placeholders there, not NULLs. */
  readonly keyTuple: Selection
  /**
   * Wanted columns that an update without an old tuple left alone. None under REPLICA IDENTITY FULL, which always sends
   * one: its absence means that the row lies in a partition, whose own identity is another than that of the root
   * described here.
   */
  readonly identity: Selection
  /** Per column: its place among the columns whose values order this table's records in the log, or −1. */
  readonly keyPlace: readonly number[]
  readonly keyLength: number
  /** Bytes of all names, so that a row's room can be bounded. */
  readonly nameBytes: number
  /** Rule columns that the table does not have: its changes are then unknown. */
  readonly missing: readonly string[]
}

/** What the catalog says of a table that rules name. */
export interface TableIdentity {
  readonly oid: number
  readonly primaryKey: readonly string[]
}

/**
 * Reads a Relation message after its tag. A table that rules name and that has another name now is one without its rule
 * columns: whoever renames it back must not find that its changes went by unseen.
 */
export function readRelation(
  reader: PgoutputReader,
  rules: RuleSet,
  tables: ReadonlyMap<string, TableIdentity>,
): { readonly oid: number; readonly plan: RelationPlan | null } {
  const oid = reader.uint32()
  const schema = reader.cstring()
  const table = `${schema === '' ? 'pg_catalog' : schema}.${reader.cstring()}`
  const isRenamed = !rules.tables.has(table)
  const tableRules = rules.tables.get(isRenamed ? (nameOf(oid, tables) ?? '') : table)
  if (tableRules === undefined) return { oid, plan: null }
  reader.skip(1)
  const names: string[] = []
  const inIdentity: boolean[] = []
  for (let left = reader.uint16(); left > 0; left--) {
    inIdentity.push((reader.uint8() & KEY_FLAG) !== 0)
    names.push(reader.cstring())
    reader.skip(8)
  }
  const plan = planOf(tableRules, { names, inIdentity, primaryKey: tables.get(table)?.primaryKey ?? [] })
  return { oid, plan: isRenamed ? { ...plan, missing: tableRules.columns } : plan }
}

/** The name by which rules know the table. */
function nameOf(oid: number, tables: ReadonlyMap<string, TableIdentity>): string | undefined {
  for (const [name, table] of tables) if (table.oid === oid) return name
  return undefined
}

interface RelationColumns {
  readonly names: readonly string[]
  readonly inIdentity: readonly boolean[]
  readonly primaryKey: readonly string[]
}

function planOf(rules: TableRules, { names, inIdentity, primaryKey }: RelationColumns): RelationPlan {
  const identityNames = names.filter((_name, index) => inIdentity[index])
  // Under REPLICA IDENTITY FULL every column is flagged, which says nothing about the key.
  const isFull = identityNames.length === names.length && names.length > 1
  const known = primaryKey.filter((name) => names.includes(name))
  const key = known.length > 0 ? known : isFull ? rules.columns.filter((name) => names.includes(name)) : identityNames
  const wantedNames = new Set([...rules.columns, ...key])
  const encoded = names.map(encodeColumnName)
  const select = (isSelected: (index: number) => boolean): Selection =>
    names.map((name, index) => (wantedNames.has(name) && isSelected(index) ? encoded[index]! : null))
  const copiesIdentity = !isFull || known.length === names.length
  return {
    table: rules.table,
    keyPrefix: Buffer.from(rules.table),
    row: select(() => true),
    keyTuple: select((index) => inIdentity[index] === true),
    identity: select((index) => copiesIdentity && inIdentity[index] === true),
    keyPlace: names.map((name) => key.indexOf(name)),
    keyLength: key.length,
    nameBytes: encoded.reduce((sum, bytes) => sum + bytes.length, 0),
    missing: rules.columns.filter((name) => !names.includes(name)),
  }
}
