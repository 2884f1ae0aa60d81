import { startKafka } from '@lockstep/servers'
import type { TestProject } from 'vitest/node'

/** Finds or starts a Kafka for the `*.kafka.test.ts` of every room; each test makes topics of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kafka = await startKafka()
  project.provide('kafkaBrokers', kafka.brokers)
  return () => kafka.stop()
}
