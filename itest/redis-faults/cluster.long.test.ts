import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { UnsafeInvalidatorOptions } from '@lockstep/invalidator'
import { redisKeys, slotOf } from '@lockstep/schemas'
import { startRedisCluster, type ClusterServers } from '@lockstep/servers'
import { afterEach, describe, expect, test } from 'vitest'
import { CONTRACT_MS, expectNothingStale, FailoverScene, P99_MS } from './failover-scene.ts'

/** A namespace of the first master, which is the one that has a replica. */
const NAMESPACE = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].find((name) => slotOf(name) < 5_000) ?? ''
const SLOT = slotOf(redisKeys(NAMESPACE).watermark)

describe('itest/redis-faults: Cluster', () => {
  let servers: ClusterServers
  let scene: FailoverScene | undefined
  afterEach(async () => {
    await scene?.stop()
    scene = undefined
  })

  async function begin(unsafe: UnsafeInvalidatorOptions = {}): Promise<FailoverScene> {
    servers = await startRedisCluster()
    scene = await FailoverScene.create(servers, NAMESPACE, unsafe)
    return scene
  }

  async function failOver(unsafe?: UnsafeInvalidatorOptions) {
    const started = await begin(unsafe)
    return started.failOver(
      () => servers.masters[0]?.kill9(),
      async () => (await servers.ownerOf(SLOT)) === servers.replica.port,
    )
  }

  test('a stale replica that is promoted gets from the log what it lost, and no read is past the contract', async () => {
    expectNothingStale(await failOver())
  })

  test('without the rewind some reads are', async () => {
    expect((await failOver({ skipRewind: true })).stale).toBeGreaterThan(0)
  })

  test('a slot that moves to another master while it is read and written takes nothing from the promise', async () => {
    const started = await begin()
    const to = servers.masters[2]
    if (!to) throw new Error('there is no third master')
    // Half-way for longer than the contract: until it is done, reads go to the database.
    await servers.moveSlot(SLOT, to, 1.5 * CONTRACT_MS)
    expect(await servers.ownerOf(SLOT)).toBe(to.port)
    await started.addReader()
    await started.normalFrom(performance.now())
    await pause(CONTRACT_MS)
    const report = started.report()
    expect(report).toMatchObject({ stale: 0, rewinds: 0, generationsAskedFor: 0 })
    expect(report.p99Ms).toBeLessThan(P99_MS)
  })
})
