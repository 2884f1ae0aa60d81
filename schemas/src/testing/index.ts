export * from './arbitraries.ts'
export * from './golden.ts'
