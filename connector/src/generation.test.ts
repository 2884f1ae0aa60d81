import { encodeControl } from '@lockstep/schemas'
import { silentLogger } from '@lockstep/runtime'
import { describe, expect, test } from 'vitest'
import { statusMessage } from './adapters/status-message.ts'
import { Control } from './control.ts'
import type { GenerationRequest } from './control.ts'
import { raiseReason } from './generation.ts'
import type { StartFacts } from './generation.ts'

const identity = { systemId: '1', timeline: 1 }
const stored = {
  ...identity,
  generation: 3,
  slot: 's',
  publication: 'p',
  announced: true,
  confirmable: null,
  recentGaps: 0,
}
const sound: StartFacts = { stored, identity, slot: 's', gap: undefined, isLogEmpty: false }

describe('connector/generation', () => {
  test('a session that goes on where the last one ended keeps its generation', () => {
    expect(raiseReason(sound)).toBeUndefined()
  })

  test.each<[string, Partial<StartFacts>]>([
    ['first-start', { stored: undefined, gap: 'slot-lost' }],
    ['other-primary', { identity: { systemId: '2', timeline: 1 } }],
    ['other-primary', { identity: { systemId: '1', timeline: 2 }, gap: 'slot-lost' }],
    ['slot-lost', { gap: 'slot-lost' }],
    ['slot-lost', { slot: 'another' }],
    ['slot-recreated', { gap: 'slot-recreated' }],
    ['publication-lost', { gap: 'publication-lost' }],
    ['memory-log', { isLogEmpty: true }],
  ])('every gap begins a generation: %s', (reason, facts) => {
    expect(raiseReason({ ...sound, ...facts })).toBe(reason)
  })
})

describe('connector/control', () => {
  test('the newest echo wins by value, requests are handed on, anything else is ignored', () => {
    const requests: GenerationRequest[] = []
    const control = new Control((request) => requests.push(request), silentLogger)
    for (const redisTimeUs of ['999', '1000', '998']) control.take(encodeControl({ kind: 'echo', redisTimeUs }))
    control.take(Buffer.from('{"kind":"future"}'))
    control.take(Buffer.from('not json'))
    const request = { kind: 'new-generation', above: 4, reason: 'redis-emptied', edge: false } as const
    control.take(encodeControl(request))
    expect(control.echo).toBe('1000')
    expect(requests).toEqual([request])
  })

  test('a new generation may begin at a Redis with another clock: echoes of the old one count no more', () => {
    const control = new Control(() => undefined, silentLogger)
    control.take(encodeControl({ kind: 'echo', redisTimeUs: '2000' }))
    control.forgetEcho()
    expect(control.echo).toBe('')
    control.take(encodeControl({ kind: 'echo', redisTimeUs: '1000' }))
    expect(control.echo).toBe('1000')
  })
})

describe('connector/status-message', () => {
  test('the three positions are exactly the given one, and time counts from 2000', () => {
    const bytes = statusMessage(0x16b374d848n as Parameters<typeof statusMessage>[0], true, 946_684_801_000)
    expect(bytes.toString('hex')).toBe(`640000002672${'00000016b374d848'.repeat(3)}00000000000f424001`)
  })
})
