export * from './event-log-contract.ts'
export * from './wait-for.ts'
