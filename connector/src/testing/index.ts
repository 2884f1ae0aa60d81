export { waitFor } from '@lockstep/runtime/testing'
export { createRecordingLog, openTestSource, PRODUCT_RULES, startOn } from './test-source.ts'
export type { RecordingLog, TestSource } from './test-source.ts'
