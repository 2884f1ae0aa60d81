export * from './event-log-contract.ts'
export * from './fake-time.ts'
export * from './wait-for.ts'
