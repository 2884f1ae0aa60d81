// By path: the runner of global setups resolves packages without the condition that leads to our sources.
import { startKafka } from '../../servers/src/index.ts'
import type { TestProject } from 'vitest/node'

/** Finds or starts a Kafka for the `*.kafka.test.ts` of every room; each test makes topics of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kafka = await startKafka()
  project.provide('kafkaBrokers', kafka.brokers)
  return () => kafka.stop()
}
