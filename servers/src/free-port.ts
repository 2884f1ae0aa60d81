import { createServer } from 'node:net'
import { randomInt } from 'node:crypto'

/** Below Linux's range for outgoing connections (32768 up), so no client can take a port between choice and use. */
const LOWEST_PORT = 15_000
const HIGHEST_PORT = 32_000
const TRIES = 50

function isFree(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(undefined))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined))
    })
  })
}

/** Finds a TCP port on 127.0.0.1 that nothing listens on; random, so parallel test processes rarely meet. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const port = await isFree(randomInt(LOWEST_PORT, HIGHEST_PORT))
    if (port !== undefined) return port
  }
  const port = await isFree(0)
  if (port === undefined) throw new Error('no TCP port is free on 127.0.0.1; stop some servers')
  return port
}
