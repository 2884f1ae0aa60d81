export * from './errors.ts'
export * from './event-log.ts'
export * from './latency.ts'
export { createMemoryLog, type MemoryLogOptions } from './event-log/memory.ts'
