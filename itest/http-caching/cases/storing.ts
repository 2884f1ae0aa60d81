import { cc, law, notReused, reused, type Case } from '../case.ts'

const FRESH = 'max-age=60'
const anna = { headers: { authorization: 'Bearer anna' } }

/** What may be stored (RFC 9111 3), and by which directives of a response. */
export const STORING: readonly Case[] = [
  law('MAY', 'RFC 9111 3', 'a 200 with max-age is stored', ...reused(cc(FRESH))),
  law('MAY', 'RFC 9111 3', 'a response with public and max-age is stored', ...reused(cc(`public, ${FRESH}`))),
  ...[203, 301, 308, 404, 410, 414].map((status) =>
    law('MAY', 'RFC 9111 3', `a ${status} with max-age is stored`, ...reused({ ...cc(FRESH), status })),
  ),
  law(
    'MAY',
    'RFC 9111 3',
    'a 302 with max-age is stored',
    ...reused({ ...cc(FRESH, { location: '/x' }), status: 302 }),
  ),
  law('MAY', 'RFC 9111 3', 'an answer with an unknown directive is stored', ...reused(cc(`${FRESH}, nothing-known=1`))),
  law('MUST', 'RFC 9111 5.2.2.5', 'no-store is not stored', ...notReused(cc('no-store'))),
  law('MUST', 'RFC 9111 5.2.2.5', 'no-store beside max-age is not stored', ...notReused(cc(`${FRESH}, no-store`))),
  law('MUST', 'RFC 9111 5.2.2.5', 'no-store before max-age is not stored', ...notReused(cc(`no-store,${FRESH}`))),
  law('MUST', 'RFC 9111 5.2', 'directives are read in any case', ...notReused(cc(`${FRESH}, No-STORE`))),
  law(
    'MUST',
    'RFC 9111 5.2',
    'a second Cache-Control line counts as the first',
    ...notReused({ headers: { 'cache-control': [FRESH, 'no-store'] } }),
  ),
  law('MUST', 'RFC 9111 5.2.2.7', 'private is not stored', ...notReused(cc(`private, ${FRESH}`))),
  law('MUST', 'RFC 9111 5.2.2.7', 'PRIVATE is not stored', ...notReused(cc(`${FRESH}, PRIVATE`))),
  law(
    'MUST',
    'RFC 9111 5.2.2.7',
    'a field that private names is given to nobody else',
    { answer: cc(`private="x-mine", ${FRESH}`, { 'x-mine': 'anna' }), from: 'origin' },
    { answer: cc(`private="x-mine", ${FRESH}`), has: { 'x-mine': null } },
  ),
  law('MUST', 'RFC 9111 5.2.2.4', 'no-cache is not reused unasked', ...notReused(cc(`no-cache, ${FRESH}`))),
  law('MUST', 'RFC 9111 5.2.2.4', 'no-cache is validated or fetched', ...notReused(cc('no-cache', { etag: '"1"' }))),
  law('MUST', 'RFC 9111 5.2.2.4', 'NO-CACHE is read in any case', ...notReused(cc(`${FRESH}, NO-Cache`))),
  law(
    'MUST',
    'RFC 9111 5.2.2.4',
    'a field that no-cache names is not reused unasked',
    { answer: cc(`no-cache="x-once", ${FRESH}`, { 'x-once': '1' }), from: 'origin' },
    { answer: cc(`no-cache="x-once", ${FRESH}`), has: { 'x-once': null } },
  ),
  law(
    'MUST',
    'RFC 9111 5.2.2.3',
    'must-understand with an unknown status and no-store is not stored',
    ...notReused({ ...cc(`must-understand, no-store, ${FRESH}`), status: 499 }),
  ),
  law('MUST', 'RFC 9111 3.5', 'an answer to Authorization is not reused', ...notReused(cc(FRESH), anna)),
  law(
    'MUST',
    'RFC 9111 3.5',
    'an answer to Authorization is given to nobody without',
    { ...anna, answer: cc(FRESH), from: 'origin' },
    { answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9111 3.5',
    'an answer to Authorization is not given to another',
    { ...anna, answer: cc(FRESH), from: 'origin' },
    { headers: { authorization: 'Bearer berta' }, answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9110 9.3.7',
    'OPTIONS is not answered from the store',
    ...notReused(cc(FRESH), { method: 'OPTIONS' }),
  ),
  law('MUST', 'RFC 9111 3', 'PUT is not answered from the store', ...notReused(cc(FRESH), { method: 'PUT' })),
  law('MUST', 'RFC 9111 3', 'DELETE is not answered from the store', ...notReused(cc(FRESH), { method: 'DELETE' })),
  law(
    'MUST',
    'RFC 9111 3',
    'an unknown method is not answered from the store',
    ...notReused(cc(FRESH), { method: 'REPORT' }),
  ),
  law(
    'MUST',
    'RFC 9111 4',
    'the answer to a POST is not reused for a GET',
    { method: 'POST', answer: cc(FRESH), from: 'origin' },
    { answer: cc(FRESH), from: 'origin' },
  ),
  law('MUST', 'RFC 9111 4', 'a POST reaches the origin each time', ...notReused(cc(FRESH), { method: 'POST' })),
  law(
    'MUST',
    'RFC 9111 4',
    'another query is another thing',
    { path: '?a=1', answer: cc(FRESH), from: 'origin' },
    { path: '?a=2', answer: cc(FRESH), from: 'origin' },
    { path: '?a=1', from: 'store' },
  ),
  law(
    'MUST',
    'RFC 9111 4',
    'another host is another thing',
    { headers: { host: 'one.test' }, answer: cc(FRESH), from: 'origin' },
    { headers: { host: 'two.test' }, answer: cc(FRESH), from: 'origin' },
  ),
  law(
    'MUST',
    'RFC 9111 3.3',
    'a part is not taken for the whole',
    {
      headers: { range: 'bytes=0-1' },
      answer: { status: 206, headers: { 'cache-control': FRESH, 'content-range': 'bytes 0-1/99' } },
    },
    { answer: cc(FRESH), status: 200, has: { 'content-range': null } },
  ),
  law(
    'MUST',
    'RFC 9111 3.1',
    'fields named by Connection are not stored',
    { answer: cc(FRESH, { connection: 'x-hop', 'x-hop': '1' }), from: 'origin', has: { 'x-hop': null } },
    { from: 'store', has: { 'x-hop': null } },
  ),
  law(
    'MAY',
    'RFC 9111 4',
    'HEAD is answered from a stored GET',
    { answer: cc(FRESH), from: 'origin' },
    {
      method: 'HEAD',
      from: 'store',
    },
  ),
]
