import { cc, law, type Case, type Level } from '../case.ts'

const FRESH = 'max-age=60'

const after = (level: Level, method: string, status: number, from: 'origin' | 'store'): Case =>
  law(
    level,
    'RFC 9111 4.4',
    `${method} answered ${status} ${from === 'origin' ? 'invalidates its target' : 'leaves its target'}`,
    { answer: cc(FRESH), from: 'origin' },
    { method, answer: { status, ...(status >= 300 && status < 400 ? { headers: { location: '/elsewhere' } } : {}) } },
    { answer: cc(FRESH), from },
  )

/** What a write does to what is stored under its address (RFC 9111 4.4). */
export const INVALIDATION: readonly Case[] = [
  ...(['POST', 'PUT', 'DELETE', 'PATCH'] as const).map((method) => after('MUST', method, 200, 'origin')),
  after('MUST', 'POST', 201, 'origin'),
  after('MUST', 'DELETE', 204, 'origin'),
  after('MUST', 'POST', 303, 'origin'),
  after('MUST', 'PROPPATCH', 200, 'origin'),
  after('MAY', 'POST', 500, 'store'),
  after('MAY', 'PUT', 404, 'store'),
  after('MAY', 'OPTIONS', 200, 'store'),
  law(
    'MUST',
    'RFC 9111 4.4',
    'every variant of the target is invalidated',
    { headers: { 'x-lang': 'de' }, answer: cc(FRESH, { vary: 'x-lang' }), from: 'origin' },
    { headers: { 'x-lang': 'en' }, answer: cc(FRESH, { vary: 'x-lang' }), from: 'origin' },
    { method: 'POST', answer: { status: 200 } },
    { headers: { 'x-lang': 'de' }, answer: cc(FRESH, { vary: 'x-lang' }), from: 'origin' },
    { headers: { 'x-lang': 'en' }, answer: cc(FRESH, { vary: 'x-lang' }), from: 'origin' },
  ),
  law(
    'MAY',
    'RFC 9111 4.4',
    'another address is left alone',
    { path: '?a=1', answer: cc(FRESH), from: 'origin' },
    { method: 'POST', path: '?a=2', answer: { status: 200 } },
    { path: '?a=1', from: 'store' },
  ),
  law(
    'MAY',
    'RFC 9111 4.4',
    'the same path of another host is left alone',
    { headers: { host: 'one.test' }, answer: cc(FRESH), from: 'origin' },
    { method: 'POST', headers: { host: 'two.test' }, answer: { status: 200 } },
    { headers: { host: 'one.test' }, from: 'store' },
  ),
]
