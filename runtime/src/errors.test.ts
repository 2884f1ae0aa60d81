import { describe, expect, test } from 'vitest'
import { LockstepError, defineErrors, dispositionOf } from './errors.ts'

const fail = defineErrors('test', {
  LOCKSTEP_TEST_LOST: { disposition: 'fatal', message: 'slot {slot} is lost at {lsn}', remedy: 'Create {slot} again.' },
})

describe('runtime/errors', () => {
  test('a message is filled from the context and ends with the remedy', () => {
    const error = fail('LOCKSTEP_TEST_LOST', { slot: 'orders', lsn: 12n })
    expect(error.message).toBe('slot orders is lost at 12. Create orders again.')
    expect(error).toMatchObject({ name: 'LockstepError', code: 'LOCKSTEP_TEST_LOST', disposition: 'fatal' })
  })

  test('a missing or strange context never breaks the making of an error', () => {
    expect(fail('LOCKSTEP_TEST_LOST').message).toBe('slot ? is lost at ?. Create ? again.')
    expect(fail('LOCKSTEP_TEST_LOST', { slot: { id: 1n }, lsn: null }).message).toContain('{ id: 1n }')
  })

  test('the cause is kept, and absent when there is none', () => {
    const cause = new Error('socket closed')
    expect(fail('LOCKSTEP_TEST_LOST', {}, cause).cause).toBe(cause)
    expect('cause' in fail('LOCKSTEP_TEST_LOST')).toBe(false)
  })

  test('foreign errors count as transient, aborts as a normal shutdown', () => {
    expect(dispositionOf(new Error('ECONNRESET'))).toBe('transient')
    expect(dispositionOf(AbortSignal.abort().reason)).toBe('aborted')
    expect(dispositionOf(new LockstepError('LOCKSTEP_X', 'x', { disposition: 'poison' }))).toBe('poison')
  })
})
