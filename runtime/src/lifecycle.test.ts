import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LockstepError } from './errors.ts'
import { Lifecycle, type Component, type ProcessPort } from './lifecycle.ts'
import { silentLogger } from './log.ts'
import { settle } from './testing/fake-time.ts'

/** A process that notes its exits instead of ending. */
class RecordingProcess implements ProcessPort {
  readonly exits: number[] = []
  readonly #listeners = new Map<string, (reason?: unknown) => void>()

  on(event: string, listener: (reason?: unknown) => void): void {
    this.#listeners.set(event, listener)
  }

  exit(code: number): void {
    this.exits.push(code)
  }

  emit(event: string, reason?: unknown): void {
    this.#listeners.get(event)?.(reason)
  }
}

function rig() {
  const calls: string[] = []
  const port = new RecordingProcess()
  const lifecycle = new Lifecycle({ log: silentLogger, process: port, deadlineMs: 1_000 })
  const add = (name: string, changes: Partial<Component> = {}) =>
    lifecycle.add({
      name,
      start: () => void calls.push(`start ${name}`),
      stop: () => void calls.push(`stop ${name}`),
      ...changes,
    })
  return { calls, port, lifecycle, add }
}

const never = () => new Promise<void>(() => undefined)
const boom = () => Promise.reject(new Error('boom'))
const misconfigured = () => Promise.reject(new LockstepError('LOCKSTEP_CFG_X', 'x', { disposition: 'config' }))

describe('runtime/lifecycle', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  test('components start in order, stop in reverse, and a signal ends with 0', async () => {
    const { calls, port, lifecycle, add } = rig()
    add('log')
    add('consumer')
    const done = lifecycle.run()
    await settle()
    expect(lifecycle.draining).toBe(false)
    port.emit('SIGTERM')
    expect(lifecycle.draining).toBe(true)
    await done
    expect(calls).toEqual(['start log', 'start consumer', 'stop consumer', 'stop log'])
    expect(port.exits).toEqual([0])
  })

  test('what a start meets after a signal is no failure', async () => {
    const { port, lifecycle, add } = rig()
    const { promise, reject } = Promise.withResolvers<void>()
    add('slow', { start: () => promise, stop: () => reject(new Error('the server was stopped')) })
    const done = lifecycle.run()
    await settle()
    port.emit('SIGINT')
    await done
    expect(port.exits).toEqual([0])
  })

  test('one failing stop never blocks the rest and ends with 1', async () => {
    const { calls, port, lifecycle, add } = rig()
    add('first')
    add('broken', { stop: boom })
    const done = lifecycle.run()
    await settle()
    port.emit('SIGINT')
    await done
    expect(calls).toContain('stop first')
    expect(port.exits).toEqual([1])
  })

  test('a stop that hangs ends with 1 at the deadline', async () => {
    const { port, lifecycle, add } = rig()
    add('stuck', { stop: never })
    const done = lifecycle.run()
    await settle()
    port.emit('SIGTERM')
    await vi.advanceTimersByTimeAsync(999)
    expect(port.exits).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    await done
    expect(port.exits).toEqual([1])
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('a second signal, %s, exits at once with %i', async (signal, code) => {
    const { port, lifecycle, add } = rig()
    add('stuck', { stop: never })
    void lifecycle.run()
    await settle()
    port.emit('SIGTERM')
    expect(port.exits).toEqual([])
    port.emit(signal)
    expect(port.exits).toEqual([code])
  })

  test('a signal during a start that hangs still ends the process', async () => {
    const { calls, port, lifecycle, add } = rig()
    add('log')
    add('stuck', { start: never })
    add('later')
    const done = lifecycle.run()
    await settle()
    port.emit('SIGTERM')
    await done
    expect(calls).toEqual(['start log', 'stop stuck', 'stop log'])
    expect(port.exits).toEqual([0])
  })

  test.each([
    ['configuration', misconfigured, 78],
    ['anything else', boom, 1],
  ])('a start that fails for %s stops what had started', async (_why, start, code) => {
    const { calls, port, lifecycle, add } = rig()
    add('log')
    add('broken', { start })
    add('later')
    await lifecycle.run()
    expect(calls).toEqual(['start log', 'stop broken', 'stop log'])
    expect(port.exits).toEqual([code])
  })

  test('start alone stops what had started and throws', async () => {
    const { calls, lifecycle, add } = rig()
    add('log')
    add('broken', { start: boom })
    await expect(lifecycle.start()).rejects.toThrow('boom')
    expect(calls).toEqual(['start log', 'stop broken', 'stop log'])
  })

  test('a component that fails later drains everything and ends with 1, exactly once', async () => {
    const { calls, port, lifecycle, add } = rig()
    add('log')
    const done = lifecycle.run()
    await settle()
    lifecycle.fail(new Error('stream lost'))
    lifecycle.fail(new LockstepError('LOCKSTEP_CFG_X', 'x', { disposition: 'config' }))
    await done
    expect(calls).toEqual(['start log', 'stop log'])
    expect(port.exits).toEqual([1])
  })

  test('the first signal during a drain after a failure does not cut it short', async () => {
    const { port, lifecycle, add } = rig()
    const drained = Promise.withResolvers<void>()
    add('slow', { stop: () => drained.promise })
    const done = lifecycle.run()
    await settle()
    lifecycle.fail(new Error('stream lost'))
    port.emit('SIGTERM')
    expect(port.exits).toEqual([])
    drained.resolve()
    await done
    expect(port.exits).toEqual([1])
  })

  test.each(['uncaughtException', 'unhandledRejection'])('an %s drains and ends with 1', async (event) => {
    const { calls, port, lifecycle, add } = rig()
    add('log')
    const done = lifecycle.run()
    await settle()
    port.emit(event, new Error('bug'))
    await done
    expect(calls).toContain('stop log')
    expect(port.exits).toEqual([1])
  })
})
