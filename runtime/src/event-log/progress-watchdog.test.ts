import { describe, expect, test } from 'vitest'
import { ProgressWatchdog } from './progress-watchdog.ts'

describe('ProgressWatchdog', () => {
  const at = (nowMs: number, position: bigint, waits = true) => ({ position, waits, nowMs })

  test('a partition stalls when records wait and its position stands for the whole timeout', () => {
    const watchdog = new ProgressWatchdog(60_000)
    expect(watchdog.isStalled(0, at(0, 5n))).toBe(false)
    expect(watchdog.isStalled(0, at(59_999, 5n))).toBe(false)
    expect(watchdog.isStalled(0, at(60_000, 5n))).toBe(true)
  })

  test('progress, an empty partition and a reset begin the timeout anew', () => {
    const watchdog = new ProgressWatchdog(60_000)
    watchdog.isStalled(0, at(0, 5n))
    expect(watchdog.isStalled(0, at(60_000, 6n))).toBe(false)
    expect(watchdog.isStalled(0, at(119_000, 6n, false))).toBe(false)
    expect(watchdog.isStalled(0, at(130_000, 6n))).toBe(false)
    watchdog.reset()
    expect(watchdog.isStalled(0, at(300_000, 6n))).toBe(false)
    expect(watchdog.isStalled(0, at(360_000, 6n))).toBe(true)
  })

  test('partitions stall on their own', () => {
    const watchdog = new ProgressWatchdog(60_000)
    for (const partition of [0, 1]) watchdog.isStalled(partition, at(0, 5n))
    expect(watchdog.isStalled(0, at(60_000, 9n))).toBe(false)
    expect(watchdog.isStalled(1, at(60_000, 5n))).toBe(true)
  })
})
