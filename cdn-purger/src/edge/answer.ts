import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoredObject } from './object-store.ts'
import type { OriginStream } from './origin.ts'

/** An answer that can be given from an object, stored or not. */
export interface ObjectAnswer {
  readonly kind: 'object'
  readonly object: StoredObject
  readonly ageMs: number
  readonly label: 'HIT' | 'MISS' | 'STALE' | 'REVALIDATED'
}

const VIA = '1.1 lockstep-edge'

/** Copies a flat header list without the named fields. */
export function withoutFields(rawHeaders: readonly string[], names: readonly string[]): string[] {
  const dropped = new Set(names.map((name) => name.toLowerCase()))
  const kept: string[] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (!dropped.has(name.toLowerCase())) kept.push(name, rawHeaders[index + 1] ?? '')
  }
  return kept
}

/** Weak comparison of entity tags (RFC 9110 §8.8.3.2). */
function matches(field: string, etag: string): boolean {
  if (field.trim() === '*') return true
  const strong = etag.replace(/^W\//, '')
  return field.split(',').some((item) => item.trim().replace(/^W\//, '') === strong)
}

function isNotModified(request: IncomingMessage, object: StoredObject): boolean {
  const ifNoneMatch = request.headers['if-none-match']
  if (object.status !== 200) return false
  if (ifNoneMatch !== undefined) return object.etag !== undefined && matches(ifNoneMatch, object.etag)
  const since = Date.parse(request.headers['if-modified-since'] ?? '')
  return object.lastModified !== undefined && Date.parse(object.lastModified) <= since
}

/** Answers GET, HEAD and conditional requests from an object. */
export function answerObject(request: IncomingMessage, response: ServerResponse, given: ObjectAnswer): void {
  const { object, ageMs, label } = given
  const age = String(Math.max(0, Math.floor(ageMs / 1000)))
  const requestId = String(request.headers['x-request-id'])
  const headers = [...object.headers, 'Age', age, 'X-Cache', label, 'Via', VIA, 'X-Request-Id', requestId]
  if (isNotModified(request, object)) {
    response.writeHead(304, withoutFields(headers, ['Content-Type', 'Content-Encoding']))
    response.end()
    return
  }
  if (object.status !== 204) headers.push('Content-Length', String(object.body.length))
  response.writeHead(object.status, headers)
  if (request.method === 'HEAD') response.end()
  else response.end(object.body)
}

/** Answers with a body that was too large to keep. */
export function answerStream(request: IncomingMessage, response: ServerResponse, stream: OriginStream): void {
  response.writeHead(stream.status, [...stream.rawHeaders, 'X-Cache', 'MISS', 'Via', VIA])
  if (request.method === 'HEAD') {
    stream.rest.destroy()
    response.end()
    return
  }
  for (const chunk of stream.read) response.write(chunk)
  pipeThrough(stream.rest, response)
}

/** Answers with the origin's own message, unstored. */
export function answerPassed(response: ServerResponse, message: IncomingMessage, rawHeaders: readonly string[]): void {
  response.writeHead(message.statusCode ?? 502, [...rawHeaders, 'X-Cache', 'PASS', 'Via', VIA])
  pipeThrough(message, response)
}

/** A broken origin body breaks the client's connection, so that a cut answer is never taken for a whole one. */
function pipeThrough(message: IncomingMessage, response: ServerResponse): void {
  message.on('error', () => response.destroy())
  message.on('aborted', () => response.destroy())
  message.pipe(response)
}

/** Answers that the origin cannot be reached. */
export function answerUnavailable(response: ServerResponse): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = JSON.stringify({ type: 'about:blank', title: 'the origin cannot be reached', status: 502 })
  const headers = ['Content-Type', 'application/problem+json', 'Cache-Control', 'no-store', 'X-Cache', 'MISS']
  response.writeHead(502, [...headers, 'Content-Length', String(Buffer.byteLength(body))])
  response.end(body)
}
