import { cc, EXPIRED_MS, law, notReused, reused, type Answer, type Case } from '../case.ts'

const FRESH = 'max-age=60'
const cdn = (targeted: string | readonly string[], general = FRESH, headers: Answer['headers'] = {}): Answer => ({
  headers: { 'cdn-cache-control': targeted, 'cache-control': general, ...headers },
})

/** CDN-Cache-Control (RFC 9213). */
export const TARGETED: readonly Case[] = [
  law('MUST', 'RFC 9213 2.2', 'it replaces Cache-Control: stored', ...reused(cdn(FRESH, 'no-store'))),
  law('MUST', 'RFC 9213 2.2', 'it replaces Cache-Control: private', ...reused(cdn(FRESH, 'private'))),
  law('MUST', 'RFC 9213 2.2', 'it replaces Cache-Control: no-cache', ...reused(cdn(FRESH, 'no-cache'))),
  law('MUST', 'RFC 9213 2.2', 'it replaces Cache-Control: not stored', ...notReused(cdn('no-store'))),
  law('MUST', 'RFC 9213 2.2', 'its private is not stored', ...notReused(cdn(`private, ${FRESH}`))),
  law('MUST', 'RFC 9213 2.2', 'its no-cache is not reused unasked', ...notReused(cdn(`no-cache, ${FRESH}`))),
  law('MUST', 'RFC 9213 2.2', 'its max-age=0 is not reused unasked', ...notReused(cdn('max-age=0'))),
  law(
    'MUST',
    'RFC 9213 2.2',
    'its lifetime replaces s-maxage',
    { answer: cdn('max-age=1', 's-maxage=60'), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: cdn(FRESH), from: ['origin', 'validated'] },
  ),
  law(
    'MUST',
    'RFC 9213 2.2',
    'it replaces Expires',
    ...reused({ headers: { 'cdn-cache-control': FRESH, expires: 'Sat, 01 Nov 2025 12:00:00 GMT' } }),
  ),
  law('MUST', 'RFC 9213 2.1', 'where it cannot be read it is ignored', ...reused(cdn('&&&', FRESH))),
  law('MUST', 'RFC 9213 2.1', 'a part that cannot be read spoils the whole', ...reused(cdn('max-age=0, &&&', FRESH))),
  law('MUST', 'RFC 9213 2.1', 'an empty one is none', ...notReused(cdn('', 'no-store'))),
  law('MUST', 'RFC 9213 2.1', 'a lifetime of a false type is none', ...notReused(cdn('max-age="60"', 'no-store'))),
  law('MUST', 'RFC 9213 2.1', 'two lines are one list', ...notReused(cdn([FRESH, 'no-store'], FRESH))),
  law(
    'MUST',
    'RFC 8941 3.2',
    'of two values of one directive the last counts',
    ...reused(cdn('max-age=0, max-age=60', 'no-store')),
  ),
  law(
    'MAY',
    'RFC 9213 2.1',
    'an unknown directive is passed over',
    ...reused(cdn(`frobnicate=1, ${FRESH}`, 'no-store')),
  ),
  law(
    'MAY',
    'RFC 9213 2.1',
    'a parameter of a directive is passed over',
    ...reused(cdn('max-age=60;why=so', 'no-store')),
  ),
  law(
    'MAY',
    'RFC 9213 2.2',
    'its stale-while-revalidate is served stale and renewed behind it',
    { answer: cdn('max-age=1, stale-while-revalidate=60', 'no-store'), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: cdn(FRESH, 'no-store'), from: 'store', renews: true },
  ),
  law(
    'MUST',
    'RFC 9213 2.2',
    'its must-revalidate outweighs its stale-while-revalidate',
    { answer: cdn('max-age=1, must-revalidate, stale-while-revalidate=60'), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: cdn(FRESH), from: ['origin', 'validated'] },
  ),
  law('MUST', 'RFC 9213 2.2', 'an Age beyond its lifetime has expired', ...notReused(cdn(FRESH, FRESH, { age: '90' }))),
]

const ORIGIN = 'lockstep-l1; fwd=miss; stored'
const shown: Answer = cc(FRESH, { 'cache-status': ORIGIN, etag: '"v1"' })

/** Cache-Status (RFC 9211). */
export const CACHE_STATUS: readonly Case[] = [
  law('SHOULD', 'RFC 9211 2', 'a cache names itself and why it went on', {
    answer: cc(FRESH),
    has: { 'cache-status': /^[a-z0-9-]+; *fwd=(?:uri-)?miss/ },
  }),
  law('MUST', 'RFC 9211 2', 'what caches nearer to the origin said stays, before its own', {
    answer: shown,
    has: { 'cache-status': /^lockstep-l1; fwd=miss; stored, [a-z0-9-]+;/ },
  }),
  law(
    'SHOULD',
    'RFC 9211 2.1',
    'an answer from the store is a hit, and no fwd',
    { answer: shown, from: 'origin' },
    { from: 'store', has: { 'cache-status': /, [a-z0-9-]+; hit(?!.*fwd)/ } },
  ),
  law('MUST', 'RFC 9211 2.5', 'stored is said of what is stored', {
    answer: cc(FRESH),
    has: { 'cache-status': /[a-z0-9-]+; *fwd=[a-z-]+; *stored$/ },
  }),
  law('MUST', 'RFC 9211 2.5', 'stored is not said of what is not', {
    answer: cc('no-store'),
    has: { 'cache-status': /fwd=(?:uri-)?miss(?!.*stored)/ },
  }),
  law('SHOULD', 'RFC 9211 2.2', 'a request that went past the store is a bypass', {
    headers: { authorization: 'Bearer anna' },
    answer: cc('private, no-store'),
    has: { 'cache-status': /fwd=bypass/ },
  }),
  law('SHOULD', 'RFC 9211 2.2', 'another method than GET and HEAD is its reason', {
    method: 'POST',
    answer: cc('no-store'),
    has: { 'cache-status': /fwd=method/ },
  }),
  law(
    'SHOULD',
    'RFC 9211 2.2',
    'a validation is no hit',
    { answer: cc('max-age=1', { etag: '"v1"' }), from: 'origin' },
    {
      afterMs: EXPIRED_MS,
      answer: { notModified: { 'cache-control': FRESH, etag: '"v1"' } },
      has: { 'cache-status': /fwd=(?:stale|miss|uri-miss)/ },
    },
  ),
]
