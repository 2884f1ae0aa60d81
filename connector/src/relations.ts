import type { Columns, RuleSet, TableRules } from '@lockstep/schemas'
import type { PgoutputReader } from './pgoutput-reader.ts'

const KEY_FLAG = 1
const NULL = 0x6e
const UNCHANGED_TOAST = 0x75
const TEXT = 0x74

/** How rows of one table are read, made new by each Relation message. Null stands for a table without rules. */
export interface RelationPlan {
  readonly table: string
  readonly rules: TableRules
  /** Per column of the tuple: its name when it is wanted, else null. */
  readonly wanted: readonly (string | null)[]
  /**
   * Wanted columns that an update without an old tuple left alone. None under REPLICA IDENTITY FULL, which always sends
   * one: its absence means that the row lies in a partition, whose own identity is another than that of the root
   * described here.
   */
  readonly identity: readonly string[]
  readonly inIdentity: readonly boolean[]
  /** Columns whose values order this table's records in the log. */
  readonly key: readonly string[]
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
  return {
    table: rules.table,
    rules,
    wanted: names.map((name) => (wantedNames.has(name) ? name : null)),
    identity: isFull && known.length < names.length ? [] : identityNames.filter((name) => wantedNames.has(name)),
    inIdentity,
    key,
    missing: rules.columns.filter((name) => !names.includes(name)),
  }
}

/** Which columns of a tuple count: in a key tuple all others are placeholders, not NULLs. */
export type TupleKind = 'row' | 'key'

/**
 * Reads the wanted columns of a tuple; what is not wanted is stepped over without allocating. The result has no
 * prototype. An unchanged TOAST value stays absent.
 */
export function readTuple(reader: PgoutputReader, plan: RelationPlan, kind: TupleKind): Columns {
  const { wanted, inIdentity } = plan
  const count = reader.uint16()
  if (count !== wanted.length) throw new RangeError('a tuple has another number of columns than its relation')
  const row = Object.create(null) as Record<string, string | null>
  for (let index = 0; index < count; index++) {
    const format = reader.uint8()
    const name = kind === 'row' || inIdentity[index] === true ? (wanted[index] ?? null) : null
    if (format === NULL) {
      // No identity but the full one may hold NULL, and that comes as a whole row: in a key tuple it is a placeholder.
      if (name !== null && kind === 'row') row[name] = null
    } else if (format === TEXT) {
      const length = reader.uint32()
      if (name === null) reader.skip(length)
      else row[name] = reader.text(length)
    } else if (format !== UNCHANGED_TOAST) {
      throw new RangeError('a column has an unknown format')
    }
  }
  return row
}
