import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const THREAD = new URL('slow-link-thread.ts', import.meta.url)

/** A link to a server over which each request takes so much longer. */
export interface SlowLink {
  /** The URL of the server, by way of the link. */
  readonly url: string
  close(): Promise<unknown>
}

/** Delays what clients send by `delayMs`; answers pass at once. In a thread of its own, so that no load delays it further. */
export async function openSlowLink(target: string, delayMs: number): Promise<SlowLink> {
  const { hostname, port } = new URL(target)
  const thread = new Worker(THREAD, { workerData: { hostname, port: Number(port), delayMs } })
  const [listening] = (await once(thread, 'message')) as [number]
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = `${listening}`
  return { url: url.href, close: () => thread.terminate() }
}
