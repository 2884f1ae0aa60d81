import { silentLogger, type Logger } from '@lockstep/runtime'
import { FakeTime } from '@lockstep/runtime/testing'
import { describe, expect, test } from 'vitest'
import { createDegradationLog } from './degradation-log.ts'

describe('api/degradation-log', () => {
  test('a failure that goes on is logged at once, then once per interval with the number left out', async () => {
    const lines: object[] = []
    const log: Logger = { ...silentLogger, warn: (fields) => void lines.push(fields) }
    const time = new FakeTime()
    const failed = createDegradationLog(log, time)
    const error = new Error('away')
    for (let round = 0; round < 5; round++) failed(error, 'reading')
    failed(error, 'storing')
    expect(lines).toEqual([
      { err: error, doing: 'reading', unlogged: 0 },
      { err: error, doing: 'storing', unlogged: 0 },
    ])
    await time.advance(10_000)
    failed(error, 'reading')
    expect(lines[2]).toEqual({ err: error, doing: 'reading', unlogged: 4 })
  })
})
