import { cc, EXPIRED_MS, law, notReused, reused, type Case } from '../case.ts'

const httpDate = (inMs: number): string => new Date(Date.now() + inMs).toUTCString()
const expired = { afterMs: EXPIRED_MS, from: ['origin', 'validated'] } as const

/** How long a response may be reused, and how old it is (RFC 9111 4.2, 5.1, 5.3). */
export const FRESHNESS: readonly Case[] = [
  law(
    'MUST',
    'RFC 9111 4.2.4',
    'what has expired is not served where nothing allows it',
    { answer: cc('max-age=1'), from: 'origin' },
    { ...expired, answer: cc('max-age=60') },
  ),
  law('MUST', 'RFC 9111 5.2.2.1', 'max-age=0 is not reused unasked', ...notReused(cc('max-age=0'))),
  law('MUST', 'RFC 9111 5.2.2.10', 's-maxage is longer than max-age', ...reused(cc('max-age=0, s-maxage=60'))),
  law(
    'MUST',
    'RFC 9111 5.2.2.10',
    's-maxage is shorter than max-age',
    { answer: cc('max-age=60, s-maxage=1'), from: 'origin' },
    { ...expired, answer: cc('max-age=60') },
  ),
  law('MUST', 'RFC 9111 5.2.2.10', 's-maxage=0 is not reused unasked', ...notReused(cc('s-maxage=0, max-age=60'))),
  law(
    'MAY',
    'RFC 9111 5.3',
    'Expires in the future is a lifetime',
    ...reused({ headers: { expires: httpDate(600_000) } }),
  ),
  law(
    'MUST',
    'RFC 9111 5.3',
    'Expires in the past has expired',
    ...notReused({ headers: { expires: httpDate(-600_000) } }),
  ),
  law('MUST', 'RFC 9111 5.3', 'Expires: 0 has expired', ...notReused({ headers: { expires: '0' } })),
  law(
    'MUST',
    'RFC 9111 5.3',
    'an Expires that is no date has expired',
    ...notReused({ headers: { expires: 'tomorrow' } }),
  ),
  law(
    'MUST',
    'RFC 9111 5.3',
    'max-age replaces Expires: longer',
    ...reused(cc('max-age=60', { expires: httpDate(-600_000) })),
  ),
  law(
    'MUST',
    'RFC 9111 5.3',
    'max-age replaces Expires: shorter',
    ...notReused(cc('max-age=0', { expires: httpDate(600_000) })),
  ),
  law(
    'MUST',
    'RFC 9111 5.3',
    's-maxage replaces Expires',
    ...reused(cc('s-maxage=60', { expires: httpDate(-600_000) })),
  ),
  law(
    'MUST',
    'RFC 9111 4.2.3',
    'an Age beyond the lifetime has expired',
    ...notReused(cc('max-age=60', { age: '90' })),
  ),
  law(
    'MUST',
    'RFC 9111 4.2.3',
    'the Age that a response came with is part of its age',
    { answer: cc('max-age=600', { age: '30' }), from: 'origin' },
    { from: 'store', has: { age: /^(?:3\d)$/ } },
  ),
  law(
    'MUST',
    'RFC 9111 4.2.3',
    'the Age that a response came with shortens its lifetime',
    { answer: cc('max-age=31', { age: '30' }), from: 'origin' },
    { ...expired, answer: cc('max-age=60') },
  ),
  law(
    'MUST',
    'RFC 9111 5.1',
    'an answer from the store says its age',
    { answer: cc('max-age=60'), from: 'origin' },
    { afterMs: EXPIRED_MS, from: 'store', has: { age: /^[12]$/ } },
  ),
  law('MUST', 'RFC 9111 1.2.2', 'a lifetime beyond any number is a long one', ...reused(cc('max-age=99999999999'))),
  law('SHOULD', 'RFC 9111 4.2.1', 'a lifetime that is no number has expired', ...notReused(cc('max-age=abc'))),
  law('SHOULD', 'RFC 9111 4.2.1', 'a negative lifetime has expired', ...notReused(cc('max-age=-5'))),
  law(
    'SHOULD',
    'RFC 9111 4.2.1',
    'of two lifetimes the first counts, or none',
    {
      answer: cc('max-age=1, max-age=60'),
      from: 'origin',
    },
    { ...expired, answer: cc('max-age=60') },
  ),
  law('SHOULD', 'RFC 9111 4.2.1', 'nothing is made of no lifetime at all', ...notReused({})),
  law(
    'MAY',
    'RFC 9111 5.2',
    'a directive that only contains another name is not that one',
    ...reused(cc('x-no-store, max-age=60')),
  ),
  law(
    'MUST',
    'RFC 9111 5.2.2.2',
    'must-revalidate is not served stale while the origin is down',
    { answer: cc('max-age=1, must-revalidate'), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: { isDown: true }, status: [502, 503, 504] },
  ),
  law(
    'MUST',
    'RFC 9111 5.2.2.2',
    'must-revalidate outweighs stale-while-revalidate',
    { answer: cc('max-age=1, must-revalidate, stale-while-revalidate=60'), from: 'origin' },
    { ...expired, answer: cc('max-age=60') },
  ),
  law(
    'MUST',
    'RFC 9111 5.2.2.8',
    'proxy-revalidate outweighs stale-while-revalidate',
    { answer: cc('max-age=1, proxy-revalidate, stale-while-revalidate=60'), from: 'origin' },
    { ...expired, answer: cc('max-age=60') },
  ),
  law(
    'MUST',
    'RFC 9111 5.2.2.10',
    's-maxage outweighs stale-while-revalidate',
    { answer: cc('s-maxage=1, stale-while-revalidate=60'), from: 'origin' },
    { ...expired, answer: cc('max-age=60') },
  ),
  law('SHOULD', 'RFC 9111 5.2.1.7', 'only-if-cached without a stored answer is a 504', {
    headers: { 'cache-control': 'only-if-cached' },
    answer: cc('max-age=60'),
    status: 504,
  }),
]

/** Serving stale where the origin asks for it (RFC 5861). */
export const STALE: readonly Case[] = [
  law(
    'MAY',
    'RFC 5861 3',
    'within stale-while-revalidate the stale answer is served and renewed behind it',
    { answer: cc('max-age=1, stale-while-revalidate=60'), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: cc('max-age=60'), from: 'store', renews: true },
    { afterMs: 300, from: 'store' },
  ),
  law(
    'MUST',
    'RFC 5861 3',
    'beyond stale-while-revalidate it is not',
    { answer: cc('max-age=1, stale-while-revalidate=1'), from: 'origin' },
    { afterMs: 2_700, answer: cc('max-age=60'), from: ['origin', 'validated'] },
  ),
  law(
    'MUST',
    'RFC 9111 4.2.4',
    'a stale answer says its whole age',
    { answer: cc('max-age=1, stale-while-revalidate=60'), from: 'origin' },
    { afterMs: 2_200, answer: cc('max-age=60'), from: 'store', has: { age: /^[23]$/ }, renews: true },
  ),
  law(
    'MAY',
    'RFC 5861 4',
    'within stale-if-error a failure of the origin is not passed on',
    { answer: cc('max-age=1, stale-if-error=60'), from: 'origin' },
    { afterMs: EXPIRED_MS, answer: { status: 503 }, status: 200 },
  ),
  law(
    'MUST',
    'RFC 5861 4',
    'beyond stale-if-error a failure is a failure',
    { answer: cc('max-age=1, stale-if-error=1'), from: 'origin' },
    { afterMs: 2_700, answer: { status: 503 }, status: [502, 503, 504] },
  ),
]
