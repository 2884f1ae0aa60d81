export * from './stamp.ts'
export * from './lsn.ts'
export * from './tag.ts'
export * from './edge-tag.ts'
export * from './redis-keys.ts'
export * from './redis-url.ts'
export * from './cluster-slot.ts'
export * from './events.ts'
export * from './errors.ts'
export * from './codec.ts'
export { Arena } from './arena.ts'
export { ScratchBuffer } from './scratch-buffer.ts'
export { writeChange, type ChangeOrigin, type ChangeRow } from './change-writer.ts'
export {
  COLUMN_OVERHEAD,
  copyAll,
  copySlice,
  encodeColumnName,
  readColumns,
  writeNullColumn,
  writeTextColumn,
  type Slice,
} from './columns.ts'
export * from './control.ts'
export * from './rules.ts'
