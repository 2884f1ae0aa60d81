// By path: the runner of global setups resolves packages without the condition that leads to our sources.
import { startRedis } from '../../servers/src/index.ts'
import type { TestProject } from 'vitest/node'

/** Finds or starts a Redis for the `*.redis.test.ts` of every room; each test keeps to a namespace of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await startRedis()
  project.provide('redisUrl', redis.url)
  return () => redis.stop()
}
