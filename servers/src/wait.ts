import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Finer than the quickest server's start (Redis, 20 ms), coarse enough to cost nothing. */
const POLL_MS = 10

/** Asks until `condition` holds; resolves false when it did not within `deadlineMs`. Its rejections pass through. */
export async function pollUntil(
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
  pollMs: number = POLL_MS,
): Promise<boolean> {
  const end = performance.now() + deadlineMs
  for (;;) {
    if (await condition()) return true
    if (performance.now() >= end) return false
    await sleep(pollMs)
  }
}

/** Tells whether something accepts TCP connections there; never rejects. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 1000 })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

/** Sends one request and resolves the first bytes of the reply, or an empty string; never rejects. */
export function ask(port: number, request: string, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 1000 }, () => socket.write(request))
    const end = (reply: string) => {
      socket.destroy()
      resolve(reply)
    }
    socket.once('data', (bytes) => end(bytes.toString('latin1')))
    socket.once('timeout', () => end(''))
    socket.once('error', () => end(''))
    socket.once('close', () => end(''))
  })
}
