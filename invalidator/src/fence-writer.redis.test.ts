import { randomUUID } from 'node:crypto'
import { createFenceWriter } from '@lockstep/cache'
import { startRedis } from '@lockstep/servers'
import { Redis } from 'ioredis'
import { afterAll } from 'vitest'
import { registerFenceWriterContract } from './testing/fence-writer-contract.ts'

const server = await startRedis()
const redis = new Redis(server.url)
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

registerFenceWriterContract('redis', () => createFenceWriter({ redis, namespace: `inv-${randomUUID()}` }))
