import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { UnsafeInvalidatorOptions } from '@lockstep/invalidator'
import { startSentinels, type SentinelServers } from '@lockstep/servers'
import { afterEach, describe, expect, test } from 'vitest'
import { CONTRACT_MS, expectNothingStale, FailoverScene, isSoon } from './failover-scene.ts'

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
    return scene
  }

  const isPromoted = async () => (await servers.masterPort()) === servers.replica.port

  async function failOver(unsafe?: UnsafeInvalidatorOptions) {
    const started = await begin(unsafe)
    return started.failOver(() => servers.master.kill9(), isPromoted)
  }

  test('a stale replica that is promoted gets from the log what it lost, and no read is past the contract', async () => {
    expectNothingStale(await failOver())
  })

  test('without the rewind a reader believes what the promoted replica never heard was wrong', async () => {
    const report = await failOver({ skipRewind: true })
    expect(report.rewinds).toBe(0)
    expect(report.stale).toBeGreaterThan(0)
  })

  test('a master that hangs, is replaced and wakes up again misleads nobody', async () => {
    const started = await begin()
    await started.loseSuffix()
    process.kill(servers.master.pid, 'SIGSTOP')
    await isSoon(isPromoted)
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
