export { TestPipeline, createTestPipeline, type TestPipelineOptions } from './test-pipeline.ts'
