import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { UnsafeInvalidatorOptions } from '@lockstep/invalidator'
import { pollUntil, startSentinels, type SentinelServers } from '@lockstep/servers'
import { afterEach, describe, expect, test } from 'vitest'
import { CONTRACT_MS, FailoverScene, ROWS } from './failover-scene.ts'

const FAILOVER_WITHIN_MS = 20_000
/** A command that times out, a lease that nobody answers, a load. */
const P99_MS = 500

describe('itest/redis-faults: Sentinel', () => {
  let servers: SentinelServers
  let scene: FailoverScene | undefined
  afterEach(async () => {
    await scene?.stop()
    scene = undefined
  })

  async function begin(unsafe: UnsafeInvalidatorOptions = {}): Promise<FailoverScene> {
    servers = await startSentinels()
    scene = await FailoverScene.create(servers, 'sentinel', unsafe)
    await scene.loseSuffix()
    return scene
  }

  async function promoted(): Promise<void> {
    const isPromoted = async () => (await servers.masterPort()) === servers.replica.port
    if (!(await pollUntil(isPromoted, FAILOVER_WITHIN_MS, 20))) throw new Error('the replica was not promoted')
  }

  async function failOver(unsafe: UnsafeInvalidatorOptions = {}) {
    const started = await begin(unsafe)
    await servers.master.kill9()
    await promoted()
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

  test('without the rewind a reader believes what the promoted replica never heard was wrong', async () => {
    const report = await failOver({ skipRewind: true })
    expect(report.rewinds).toBe(0)
    expect(report.stale).toBeGreaterThan(0)
  })

  test('a master that hangs, is replaced and wakes up again misleads nobody', async () => {
    const started = await begin()
    process.kill(servers.master.pid, 'SIGSTOP')
    await promoted()
    // It still believes itself the master, and connections to it that nobody closed live again.
    process.kill(servers.master.pid, 'SIGCONT')
    await started.addReader()
    await started.normalFrom(performance.now())
    await pause(2 * CONTRACT_MS)
    const report = started.report()
    expect(report).toMatchObject({ stale: 0, generationsAskedFor: 0 })
    expect(report.rewinds).toBeGreaterThan(0)
  })
})
