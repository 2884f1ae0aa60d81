/** The slow link itself; tells its port once it listens. It ends with its thread. */
import { connect, createServer, type AddressInfo } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'

const { hostname, port, delayMs } = workerData as { hostname: string; port: number; delayMs: number }

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ host: hostname, port, noDelay: true })
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    one.on('error', () => other.destroy())
    one.on('close', () => other.destroy())
  }
  // Timers of one length end in the order in which they began.
  client.on('data', (chunk) => setTimeout(() => upstream.write(chunk), delayMs))
  upstream.on('data', (chunk) => client.write(chunk))
}).listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port))
