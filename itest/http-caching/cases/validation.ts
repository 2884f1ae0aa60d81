import { cc, EXPIRED_MS, law, type Case, type Step } from '../case.ts'

const FRESH = 'max-age=60'
const PAST = 'Sat, 01 Nov 2025 12:00:00 GMT'
const LATER = 'Sun, 02 Nov 2025 12:00:00 GMT'
const EARLIER = 'Fri, 31 Oct 2025 12:00:00 GMT'
const tagged: Step = { answer: cc(FRESH, { etag: '"v1"', 'x-kept': '1' }), from: 'origin' }
const dated: Step = { answer: cc(FRESH, { 'last-modified': PAST }), from: 'origin' }

/** Asking the origin whether a stored response still holds, and answering clients that ask (RFC 9111 4.3, 3.2). */
export const VALIDATION: readonly Case[] = [
  law(
    'MUST',
    'RFC 9111 4.3.1',
    'a stale answer with an ETag is validated by it',
    { answer: cc('max-age=1', { etag: '"v1"' }), from: 'origin' },
    {
      afterMs: EXPIRED_MS,
      answer: { notModified: { 'cache-control': FRESH, etag: '"v1"' } },
      from: 'validated',
      status: 200,
      asks: { 'if-none-match': /^"v1"$/ },
    },
  ),
  law(
    'SHOULD',
    'RFC 9111 4.3.1',
    'a stale answer with Last-Modified is validated by it',
    { answer: cc('max-age=1', { 'last-modified': PAST }), from: 'origin' },
    {
      afterMs: EXPIRED_MS,
      answer: { notModified: { 'cache-control': FRESH } },
      from: 'validated',
      asks: { 'if-modified-since': /2025/ },
    },
  ),
  law(
    'MUST',
    'RFC 9111 4.3.4',
    'a 304 makes the stored answer fresh again',
    { answer: cc('max-age=1', { etag: '"v1"' }), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: { notModified: { 'cache-control': FRESH, etag: '"v1"' } }, from: 'validated' },
    { afterMs: EXPIRED_MS, from: 'store' },
  ),
  law(
    'MUST',
    'RFC 9111 3.2',
    'a 304 replaces the fields that it brings',
    { answer: cc('max-age=1', { etag: '"v1"', 'x-kept': 'old' }), from: 'origin' },
    {
      afterMs: EXPIRED_MS,
      answer: { notModified: { 'cache-control': FRESH, etag: '"v1"', 'x-kept': 'new' } },
      from: 'validated',
      has: { 'x-kept': /^new$/ },
    },
    { from: 'store', has: { 'x-kept': /^new$/ } },
  ),
  law(
    'MUST',
    'RFC 9111 3.2',
    'a 304 leaves the fields that it does not bring',
    { answer: cc('max-age=1', { etag: '"v1"', 'x-kept': 'old' }), from: 'origin' },
    {
      afterMs: EXPIRED_MS,
      answer: { notModified: { 'cache-control': FRESH, etag: '"v1"' } },
      from: 'validated',
      has: { 'x-kept': /^old$/ },
    },
  ),
  law(
    'MUST',
    'RFC 9111 4.3.3',
    'a 200 to a validation replaces what was stored',
    { answer: cc('max-age=1', { etag: '"v1"' }), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: cc(FRESH, { etag: '"v2"' }), from: 'origin', has: { etag: /"v2"/ } },
    { from: 'store', has: { etag: /"v2"/ } },
  ),
  law('SHOULD', 'RFC 9111 4.3.2', 'a known ETag is a 304 from the store', tagged, {
    headers: { 'if-none-match': '"v1"' },
    from: 'store',
    status: 304,
    has: { etag: /"v1"/, 'cache-control': /max-age=60/ },
  }),
  law('MUST', 'RFC 9110 13.1.2', 'an unknown ETag is a 200', tagged, {
    headers: { 'if-none-match': '"v0"' },
    from: 'store',
    status: 200,
  }),
  law('MUST', 'RFC 9110 13.1.2', 'If-None-Match compares weakly', tagged, {
    headers: { 'if-none-match': 'W/"v1"' },
    from: 'store',
    status: 304,
  }),
  law('MUST', 'RFC 9110 13.1.2', 'one of several ETags is enough', tagged, {
    headers: { 'if-none-match': '"v0", "v1"' },
    from: 'store',
    status: 304,
  }),
  law('MUST', 'RFC 9110 13.1.2', 'If-None-Match: * knows whatever is there', tagged, {
    headers: { 'if-none-match': '*' },
    from: 'store',
    status: 304,
  }),
  law('SHOULD', 'RFC 9111 4.3.2', 'what was not modified since is a 304', dated, {
    headers: { 'if-modified-since': LATER },
    from: 'store',
    status: 304,
  }),
  law('MUST', 'RFC 9110 13.1.3', 'what was modified since is a 200', dated, {
    headers: { 'if-modified-since': EARLIER },
    from: 'store',
    status: 200,
  }),
  law(
    'MUST',
    'RFC 9110 13.1.3',
    'If-Modified-Since does not count beside If-None-Match',
    { answer: cc(FRESH, { etag: '"v1"', 'last-modified': PAST }), from: 'origin' },
    { headers: { 'if-none-match': '"v0"', 'if-modified-since': LATER }, from: 'store', status: 200 },
  ),
  law(
    'MUST',
    'RFC 9111 4.3.2',
    "a client's validator does not make a 304 of what is not stored",
    { headers: { 'if-none-match': '"v0"' }, answer: cc(FRESH, { etag: '"v1"' }), from: 'origin', status: 200 },
    { from: 'store', status: 200 },
  ),
  law(
    'MUST',
    'RFC 9111 5.2.2.2',
    'a failed validation of must-revalidate is a failure',
    { answer: cc('max-age=1, must-revalidate', { etag: '"v1"' }), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: { status: 503 }, status: [502, 503, 504] },
  ),
]

const variant = (value: string, from: Step['from'], name = 'x-lang'): Step => ({
  headers: { [name]: value },
  answer: cc(FRESH, { vary: name }),
  from: from ?? 'origin',
})

/** Which request a stored response answers (RFC 9111 4.1). */
export const VARY: readonly Case[] = [
  law(
    'MUST',
    'RFC 9111 4.1',
    'Vary: * matches nothing',
    { answer: cc(FRESH, { vary: '*' }), from: 'origin' },
    { answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9111 4.1',
    'Vary: * in a list matches nothing',
    { answer: cc(FRESH, { vary: 'x-lang, *' }), from: 'origin' },
    { answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9111 4.1',
    'another value of a field that Vary names is not answered',
    variant('de', 'origin'),
    variant('en', 'origin'),
  ),
  law('MAY', 'RFC 9111 4.1', 'the same value is', variant('de', 'origin'), variant('de', 'store')),
  law(
    'MAY',
    'RFC 9111 4.1',
    'variants are kept beside each other',
    variant('de', 'origin'),
    variant('en', 'origin'),
    variant('de', 'store'),
    variant('en', 'store'),
  ),
  law('MUST', 'RFC 9111 4.1', 'a field that is missing is another value', variant('de', 'origin'), {
    answer: cc(FRESH, { vary: 'x-lang' }),
    from: 'origin',
  }),
  law(
    'MUST',
    'RFC 9111 4.1',
    'Vary is read in any case',
    { headers: { 'x-lang': 'de' }, answer: cc(FRESH, { vary: 'X-LANG' }), from: 'origin' },
    { headers: { 'x-lang': 'en' }, answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9111 4.1',
    'every field that Vary names counts',
    { headers: { 'x-lang': 'de', 'x-size': 's' }, answer: cc(FRESH, { vary: 'x-lang, x-size' }), from: 'origin' },
    { headers: { 'x-lang': 'de', 'x-size': 'l' }, answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9111 4.1',
    'a second Vary line counts as the first',
    { headers: { 'x-lang': 'de', 'x-size': 's' }, answer: cc(FRESH, { vary: ['x-lang', 'x-size'] }), from: 'origin' },
    { headers: { 'x-lang': 'de', 'x-size': 'l' }, answer: cc(FRESH), from: 'origin' },
  ),
]
