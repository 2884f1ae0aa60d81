import { createMemoryLog, silentLogger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { decodeControl } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { EchoLoop } from './echo.ts'

async function run(redisTimeUs: () => Promise<bigint>) {
  const log = createMemoryLog()
  const time = new FakeTime()
  const stopping = new AbortController()
  const sent: string[] = []
  let failures = 0
  await log.consume({ topic: 'control', group: 'spy' }, (batch) => {
    for (const { value } of batch.records) {
      const message = decodeControl(value)
      if (message.kind === 'echo') sent.push(message.redisTimeUs)
    }
    batch.commit()
    return Promise.resolve()
  })
  const metrics = { failed: () => void (failures += 1) }
  const loop = new EchoLoop({ writer: { redisTimeUs }, log, time, logger: silentLogger, metrics, echoMs: 50 })
  const running = loop.run(stopping.signal)
  const stop = async () => {
    stopping.abort()
    await running
    await log.close()
  }
  return { loop, time, sent, failures: () => failures, stop }
}

describe('invalidator/echo', () => {
  test('an echo is sent at once and then every echoMs', async () => {
    let now = 1_000n
    const echo = await run(() => Promise.resolve((now += 1n)))
    await echo.time.advance(0)
    expect(echo.sent).toEqual(['1001'])
    await echo.time.advance(100)
    expect(echo.sent).toEqual(['1001', '1002', '1003'])
    await echo.stop()
  })

  test('a Redis that is away is counted and the echoes go on afterwards', async () => {
    let isAway = true
    const echo = await run(() => (isAway ? Promise.reject(new Error('away')) : Promise.resolve(7n)))
    await echo.time.advance(120)
    expect(echo.sent).toEqual([])
    expect(echo.failures()).toBe(3)
    isAway = false
    await echo.time.advance(50)
    expect(echo.sent).toEqual(['7'])
    await echo.stop()
  })

  test("Redis' time now is the last reading and what has passed since", async () => {
    const echo = await run(() => Promise.resolve(5_000_000n))
    await echo.time.advance(20)
    expect(echo.loop.redisNowUs()).toBe(5_020_000n)
    await echo.stop()
  })

  test('stopping ends the pause between two echoes', async () => {
    const echo = await run(() => Promise.resolve(1n))
    await echo.time.advance(10)
    await echo.stop()
    expect(echo.time.sleeping).toBe(0)
  })
})
