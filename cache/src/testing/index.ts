export { FakeClock, settle } from './fake-clock.ts'
export { Gates, gatedStore, type Gate, type Point } from './gated-store.ts'
export { TestPipeline, createTestPipeline, type TestPipelineOptions } from './test-pipeline.ts'
