import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Long enough for a burst to drain or a connection to come back, short enough not to be noticed. */
export const RETRY_AFTER_SECONDS = 1

// A third of a millisecond of a core. The rest waits for the next turn, so that under more than this process can even refuse
// the hits and the answers of the database are never behind thousands of refusals: each ms that these wait, the database does.
const REFUSALS_PER_TURN = 8

// What `sendProblem` writes, but for the name of the request.
const PROBLEM = '{"type":"about:blank","title":"Service Unavailable","status":503,"requestId":'
const HEADERS = {
  'cache-control': 'no-store',
  'cache-status': 'lockstep-l1; detail=refused',
  'content-type': 'application/problem+json; charset=utf-8',
  'retry-after': `${RETRY_AFTER_SECONDS}`,
}

// One event loop, one queue; bounded by the connections, because who waits for an answer sends nothing more.
// Two stacks: taking the first out of one array of thousands would move all the others each turn, and keeping who is answered
// would carry them through every collection.
let arrived: [FastifyRequest, FastifyReply][] = []
let next: [FastifyRequest, FastifyReply][] = []

function sendSome(): void {
  for (let count = 0; count < REFUSALS_PER_TURN; count++) {
    if (next.length === 0) [next, arrived] = [arrived.toReversed(), []]
    const [request, reply] = next.pop() ?? []
    if (!request || !reply) return
    const body = `${PROBLEM}${JSON.stringify(request.id)}}`
    const headers = {
      ...(reply.getHeaders() as OutgoingHttpHeaders),
      ...HEADERS,
      'content-length': Buffer.byteLength(body),
    }
    reply.raw.writeHead(503, headers).end(body)
    request.noteAnswer?.(503)
  }
  if (next.length + arrived.length > 0) setImmediate(sendSome)
}

/**
 * Answers 503 + `Retry-After` at the end of the turn, or of a later one while there are many: past the serialiser and the
 * hooks to come, with the headers that are set. Under ten times of what the database can do nine of ten answers are this
 * one, and what they cost the tenth has not.
 */
export function refuse(request: FastifyRequest, reply: FastifyReply): void {
  reply.hijack()
  if (next.length + arrived.length === 0) setImmediate(sendSome)
  arrived.push([request, reply])
}
