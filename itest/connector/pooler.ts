import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

const BACKEND_KEY = 0x4b
const READY = 0x5a
const OTHER_PID = 1
const REFUSAL = 'SERROR\0C08P01\0Munsupported startup parameter: replication\0\0'

/** Stands before a Postgres as PgBouncer does: with a process of its own making, and (before 1.23) no replication. */
export interface Pooler {
  readonly port: number
  close(): Promise<void>
}

/** Starts it. */
export async function startPooler(target: { host: string; port: number }, takesReplication: boolean): Promise<Pooler> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => undefined)
    client.once('data', (startup) => {
      if (!takesReplication && startup.includes('replication\0')) {
        client.end(message(0x45, Buffer.from(REFUSAL)))
        return
      }
      const backend = connect(target)
      sockets.add(backend)
      backend.on('error', () => undefined)
      backend.write(startup)
      client.pipe(backend)
      void relay(backend, client)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function message(tag: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head[0] = tag
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** Passes on what the server says, up to its first ReadyForQuery message by message. */
async function relay(backend: Socket, client: Socket): Promise<void> {
  let held = Buffer.alloc(0)
  let isReady = false
  for await (const chunk of backend as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, chunk])
    while (!isReady && held.length >= 5 && held.length >= held.readUInt32BE(1) + 1) {
      const length = held.readUInt32BE(1) + 1
      if (held[0] === BACKEND_KEY) held.writeUInt32BE(OTHER_PID, 5)
      isReady = held[0] === READY
      client.write(held.subarray(0, length))
      held = held.subarray(length)
    }
    if (!isReady) continue
    client.write(held)
    held = Buffer.alloc(0)
  }
  client.end()
}
