import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { UnsafeInvalidatorOptions } from '@lockstep/invalidator'
import { redisKeys, slotOf } from '@lockstep/schemas'
import { pollUntil, startRedisCluster, type ClusterServers } from '@lockstep/servers'
import { afterEach, describe, expect, test } from 'vitest'
import { CONTRACT_MS, FailoverScene, ROWS } from './failover-scene.ts'

const FAILOVER_WITHIN_MS = 20_000
/** A command that times out, a lease that nobody answers, a load. */
const P99_MS = 500
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

  async function failOver(unsafe: UnsafeInvalidatorOptions = {}) {
    const started = await begin(unsafe)
    await started.loseSuffix()
    await servers.masters[0]?.kill9()
    const isPromoted = async () => (await servers.ownerOf(SLOT)) === servers.replica.port
    if (!(await pollUntil(isPromoted, FAILOVER_WITHIN_MS, 20))) throw new Error('the replica was not promoted')
    await started.normalFrom(performance.now())
    // One that knows nothing but what the promoted node has.
    await started.addReader()
    await started.normalFrom(performance.now())
    return started.report()
  }

  test('a stale replica that is promoted gets from the log what it lost, and no read is past the contract', async () => {
    const report = await failOver()
    expect(report).toMatchObject({ stale: 0, generationsAskedFor: 0 })
    expect(report.rewinds).toBeGreaterThan(0)
    expect(report.fromRedis).toBeGreaterThan(ROWS)
    expect(report.p99Ms).toBeLessThan(P99_MS)
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
