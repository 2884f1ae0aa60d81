export type { Bench, Figure } from './bench.ts'
