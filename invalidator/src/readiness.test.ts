import { LatencyRecorder } from '@lockstep/runtime'
import { describe, expect, test } from 'vitest'
import type { InvalidatorStatus, PartitionStatus } from './invalidator.ts'
import { readyReasons } from './readiness.ts'

const partition: PartitionStatus = { position: '1', generation: 1, watermark: null, brokenAt: null }
const status: InvalidatorStatus = {
  partitions: { 0: partition },
  generation: 1,
  watermarkAgeMs: 60,
  commitToRedis: new LatencyRecorder().summary(),
  commitToRedisCounts: {},
}

describe('invalidator/readiness', () => {
  test('a moving watermark makes it ready', () => {
    expect(readyReasons(status, false)).toEqual({ ready: true, reasons: [] })
  })

  test.each([
    ['draining', status, true],
    ['watermark is old', { ...status, watermarkAgeMs: 11_000 }, false],
    [
      'partition 0 waits for a new generation',
      { ...status, partitions: { 0: { ...partition, brokenAt: '1' } } },
      false,
    ],
  ])('%s makes it unready and says so', (reason, now, isDraining) => {
    expect(readyReasons(now, isDraining)).toEqual({ ready: false, reasons: [reason] })
  })
})
