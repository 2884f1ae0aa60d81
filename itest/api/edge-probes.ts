import { once } from 'node:events'
import { createServer, request as send, type IncomingHttpHeaders } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** What no answer for anybody else may show. */
export const EVIL = 'evil.test'
/** Lets a test purge. */
export const TOKEN = 'the-edge-knows'
const ANSWER_MS = 3_000

/** A request as a test describes it. */
export interface Request {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** An answer, read to its end. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Asks a server, over a connection of its own. */
export function ask(url: string, { method = 'GET', headers = {}, body }: Request = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = send(url, { method, headers, agent: false }, (response) => {
      text(response).then(
        (received) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received }),
        reject,
      )
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** Sends bytes as they are; what comes back is not looked at. */
export async function attack(url: string, bytes: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.once('error', () => undefined)
  socket.resume()
  socket.end(bytes)
  await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, ANSWER_MS).unref())])
  socket.destroy()
}

/** Empties an edge. */
export async function flush(edgeUrl: string): Promise<void> {
  const { status } = await ask(edgeUrl, { method: 'PURGEALL', headers: { 'x-purge-token': TOKEN } })
  if (status !== 200) throw new Error(`the edge was not emptied: ${status}`)
}

/** What every visitor of a page has to see, whoever asked before. */
export const shown = ({ status, headers, body }: Reply): object => ({
  status,
  body,
  type: headers['content-type'],
  control: headers['cache-control'],
  location: headers.location,
  cookie: headers['set-cookie'],
})

/** What a page shows after a probe, and what it shows when nobody came before. */
export async function probe(edgeUrl: string, path: string, name: string): Promise<{ after: Reply; fresh: Reply }> {
  await PROBES[name]?.(edgeUrl, path).catch(() => undefined)
  const after = await ask(edgeUrl + path)
  await flush(edgeUrl)
  return { after, fresh: await ask(edgeUrl + path) }
}

const FIELDS: Readonly<Record<string, string>> = {
  'x-forwarded-host': EVIL,
  'x-forwarded-proto': 'http',
  'x-forwarded-port': '1',
  'x-forwarded-for': EVIL,
  'x-forwarded-scheme': 'nothttps',
  'x-host': EVIL,
  'x-original-url': '/categories',
  'x-rewrite-url': '/categories',
  'x-http-method-override': 'DELETE',
  'x-method-override': 'PUT',
  forwarded: `host=${EVIL};proto=http`,
  origin: `https://${EVIL}`,
  referer: `https://${EVIL}/`,
  accept: `text/${EVIL}`,
  'accept-language': EVIL,
  'accept-encoding': EVIL,
  'content-type': `text/${EVIL}`,
  range: 'bytes=0-0',
  'if-none-match': '*',
  'if-modified-since': 'Sat, 21 Nov 2026 12:00:00 GMT',
  'cache-control': 'no-store, max-age=0',
  'lockstep-token': EVIL,
  'lockstep-stamp': EVIL,
  'surrogate-key': EVIL,
  'x-purge-keys': '*',
  'x-purge-token': EVIL,
  xkey: '*',
  cookie: `session=${EVIL}`,
  traceparent: '00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01',
  'x-request-id': EVIL,
  authorization: `Bearer ${EVIL}`,
}

type Probe = (edgeUrl: string, path: string) => Promise<unknown>

/** Requests by which somebody could try to change what others see. */
export const PROBES: Readonly<Record<string, Probe>> = {
  ...Object.fromEntries(
    Object.entries(FIELDS).map(([name, value]): [string, Probe] => [
      name,
      (edge, path) => ask(edge + path, { headers: { [name]: value } }),
    ]),
  ),
  'another host': (edge, path) => ask(edge + path, { headers: { host: EVIL } }),
  'a body with a GET': (edge, path) =>
    ask(edge + path, { headers: { 'content-type': 'application/json' }, body: '{"name":"evil.test"}' }),
  'a HEAD': (edge, path) => ask(edge + path, { method: 'HEAD' }),
  'another method': (edge, path) => ask(edge + path, { method: 'PROPFIND' }),
  'an unknown parameter': (edge, path) => ask(`${edge}${path}?callback=${EVIL}`),
  'a parameter behind a semicolon': (edge, path) => ask(`${edge}${path};${EVIL}`),
  'a second slash': (edge, path) => ask(`${edge}/${path}`),
  'a way round': (edge, path) => attack(edge, `GET /categories/..${path} HTTP/1.1\r\n${hostOf(edge)}\r\n\r\n`),
  'an escaped slash': (edge, path) => ask(edge + path.replace('/products/', '/products%2f')),
  'a fragment': (edge, path) => attack(edge, `GET ${path}#${EVIL} HTTP/1.1\r\n${hostOf(edge)}\r\n\r\n`),
  'an absolute address of another host': (edge, path) =>
    attack(edge, `GET http://${EVIL}${path} HTTP/1.1\r\n${hostOf(edge)}\r\n\r\n`),
}

const hostOf = (url: string): string => `Host: ${new URL(url).host}\r\nConnection: close`

/** Those that the edge, or Varnish under it, does not hand on to the origin of what everybody gets. */
export const KEPT_BACK: readonly string[] = [
  'accept-encoding',
  'range',
  'if-none-match',
  'if-modified-since',
  'cache-control',
  'lockstep-token',
  'x-purge-keys',
  'x-purge-token',
  'xkey',
  'cookie',
  'authorization',
  'another host',
  'a HEAD',
  'another method',
  'an unknown parameter',
  'a parameter behind a semicolon',
  'a second slash',
  'a way round',
  'an escaped slash',
  'a fragment',
  'an absolute address of another host',
]

/** Bytes in which a careless server finds what a careful one refuses. */
export const AMBIGUOUS: Readonly<Record<string, (url: string) => string>> = {
  'a length and chunks': (url) =>
    `POST /1 HTTP/1.1\r\nHost: ${new URL(url).host}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: ${EVIL}\r\n\r\n`,
  'two hosts': (url) => `GET /1 HTTP/1.1\r\n${hostOf(url)}\r\nHost: ${EVIL}\r\n\r\n`,
}

/** An origin that does all a careless one may: it shows whatever a request says, and lets everybody keep that. */
export async function startCarelessOrigin() {
  const received: string[] = []
  const server = createServer({ insecureHTTPParser: true, requireHostHeader: false }, (request, response) => {
    const { method, url, rawHeaders } = request
    // What the edge says of each request is its own.
    // How the edge numbers each request is no visitor's.
    const fields = rawHeaders.filter(
      (field, index) => field === EVIL || !/^(?:x-varnish|x-request-id)$/i.test(rawHeaders[index - (index % 2)] ?? ''),
    )
    const answer = (body: string): void => {
      const said = JSON.stringify({ method, url, fields, body })
      received.push(said)
      response.writeHead(200, { 'cdn-cache-control': 'max-age=60', 'content-type': 'application/json' }).end(said)
    }
    text(request).then(answer, () => undefined)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    async stop(): Promise<void> {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
