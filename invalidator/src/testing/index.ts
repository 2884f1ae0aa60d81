export * from './memory-fence-writer.ts'
export * from './fence-writer-contract.ts'
export * from './faulty.ts'
