export * from './event-log-contract.ts'
export * from './fake-time.ts'
export * from './wait-for.ts'
export { BrokerSocket, wireInt32, wireString, type WireReader } from '../event-log/kafka-wire.ts'
