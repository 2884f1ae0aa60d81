export * from './stamp.ts'
export * from './lsn.ts'
export * from './tag.ts'
export * from './edge-tag.ts'
export * from './redis-keys.ts'
export * from './events.ts'
export * from './errors.ts'
export * from './codec.ts'
export { Arena } from './arena.ts'
export { encodeTransaction, writeChange, type ChangeRow, type TransactionFields } from './change-writer.ts'
export {
  COLUMN_OVERHEAD,
  copyAll,
  copySlice,
  encodeColumnName,
  readColumns,
  writeNullColumn,
  writeTextColumn,
} from './columns.ts'
export * from './control.ts'
export * from './rules.ts'
