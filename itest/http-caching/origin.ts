import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Answer } from './case.ts'

/** What the origin was asked for one case, and what it says next. */
export interface Script {
  answer: Answer
  readonly asked: IncomingMessage[]
}

/** An origin that answers each case as the case wants it. */
export interface ScriptedOrigin {
  readonly port: number
  /** The script of a case; its requests have the path `/ID`. */
  script(id: string): Script
  close(): Promise<void>
}

function respond(script: Script, request: IncomingMessage, response: ServerResponse): void {
  const { status = 200, headers = {}, notModified, isDown } = script.answer
  if (isDown) {
    request.socket.destroy()
    return
  }
  const isConditional = 'if-none-match' in request.headers || 'if-modified-since' in request.headers
  if (notModified !== undefined && isConditional) {
    response.writeHead(304, { ...notModified })
    response.end()
    return
  }
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value as string | string[])
  response.statusCode = status
  // Each answer has a body of its own, by which a client sees which one it got.
  response.end(`answer ${script.asked.length}`)
}

/** Starts it on a free port of 127.0.0.1. */
export async function startScriptedOrigin(): Promise<ScriptedOrigin> {
  const scripts = new Map<string, Script>()
  const script = (id: string): Script => {
    const known = scripts.get(id) ?? { answer: {}, asked: [] }
    scripts.set(id, known)
    return known
  }
  const server = createServer((request, response) => {
    const of = script(/^\/([\w-]+)/.exec(request.url ?? '')?.[1] ?? '')
    of.asked.push(request)
    request.resume()
    respond(of, request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    script,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
