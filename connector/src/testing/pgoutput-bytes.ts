/** One column of a tuple: text, NULL, or `unchanged` TOAST. */
export type TestColumn = string | null | { readonly unchanged: true }

const POSTGRES_EPOCH_US = 946_684_800_000_000n
const NAMES = { insert: 'I', update: 'U', delete: 'D' } as const

const u8 = (value: number): Buffer => Buffer.from([value])
const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.from(`${value}\0`)
const tag = (letter: string): Buffer => Buffer.from(letter)

function tuple(columns: readonly TestColumn[]): Buffer {
  const parts = columns.map((column) => {
    if (column === null) return tag('n')
    if (typeof column !== 'string') return tag('u')
    const bytes = Buffer.from(column)
    return Buffer.concat([tag('t'), u32(bytes.length), bytes])
  })
  return Buffer.concat([u16(columns.length), ...parts])
}

/** Builds pgoutput messages of protocol version 1 as Postgres sends them. */
export const pgoutput = {
  begin: (xid: number, commitLsn: bigint, timeUs = 0n): Buffer =>
    Buffer.concat([tag('B'), u64(commitLsn), u64(BigInt.asUintN(64, timeUs - POSTGRES_EPOCH_US)), u32(xid)]),
  commit: (commitLsn: bigint, endLsn: bigint): Buffer =>
    Buffer.concat([tag('C'), u8(0), u64(commitLsn), u64(endLsn), u64(0n)]),
  /** Columns beginning with `*` belong to the replica identity. */
  relation: (oid: number, table: string, columns: readonly string[]): Buffer => {
    const [schema = '', name = ''] = table.split('.')
    const listed = columns.map((column) =>
      Buffer.concat([u8(column.startsWith('*') ? 1 : 0), text(column.replace(/^\*/, '')), u32(25), u32(0)]),
    )
    return Buffer.concat([tag('R'), u32(oid), text(schema), text(name), tag('d'), u16(columns.length), ...listed])
  },
  /** `key` and `old` are the two forms of an old tuple. */
  row: (
    op: keyof typeof NAMES,
    oid: number,
    tuples: { key?: readonly TestColumn[]; old?: readonly TestColumn[]; new?: readonly TestColumn[] },
  ): Buffer =>
    Buffer.concat([
      tag(NAMES[op]),
      u32(oid),
      ...(tuples.key ? [tag('K'), tuple(tuples.key)] : []),
      ...(tuples.old ? [tag('O'), tuple(tuples.old)] : []),
      ...(tuples.new ? [tag('N'), tuple(tuples.new)] : []),
    ]),
  truncate: (...oids: number[]): Buffer => Buffer.concat([tag('T'), u32(oids.length), u8(0), ...oids.map(u32)]),
  message: (prefix: string, content: string): Buffer =>
    Buffer.concat([tag('M'), u8(1), u64(0n), text(prefix), u32(content.length), Buffer.from(content)]),
}
