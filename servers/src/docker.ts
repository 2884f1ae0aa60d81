import { request, type RequestOptions } from 'node:http'
import { disableForeignReaper } from './config.ts'
import { stderrNotice } from './provider.ts'
import { guard } from './reaper.ts'
import { noPid, type RunningServer } from './server.ts'
import { pollUntil } from './wait.ts'

/** A daemon that takes longer to answer a look-up would make every start slow. */
const ANSWER_DEADLINE_MS = 2000
const LOG_CHARS = 64 * 1024
const READY_DEADLINE_MS = 60_000

function address(dockerHost: string): RequestOptions | undefined {
  if (dockerHost.startsWith('unix://')) return { socketPath: dockerHost.slice('unix://'.length) }
  if (!dockerHost.startsWith('tcp://')) return undefined
  const url = new URL(dockerHost)
  return { host: url.hostname, port: url.port || '2375' }
}

/** Tells whether a Docker daemon answers in time (2 s) and has the image; never pulls, never rejects. */
export function dockerHasImage(image: string, dockerHost: string, deadlineMs = ANSWER_DEADLINE_MS): Promise<boolean> {
  const to = address(dockerHost)
  if (to === undefined) return Promise.resolve(false)
  return new Promise((resolve) => {
    const path = `/images/${encodeURIComponent(image)}/json`
    const asking = request({ ...to, path, timeout: deadlineMs }, (reply) => {
      reply.resume()
      resolve(reply.statusCode === 200)
    })
    asking.once('timeout', () => asking.destroy(new Error('the Docker daemon does not answer')))
    asking.once('error', () => resolve(false))
    asking.end()
  })
}

/** Says how to run one server as a container. */
export interface ContainerSpec {
  readonly what: string
  readonly image: string
  /** Fixed on the host, so that a restart keeps the address; 'host' shares the host's network instead. */
  readonly ports: readonly { readonly container: number; readonly host: number }[] | 'host'
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly hostname?: string
  readonly files?: readonly { readonly content: string; readonly target: string }[]
  /** What it prints at the latest when it has started. */
  readonly readyLog: RegExp
  /** Asks through the published port whether it serves. */
  readonly probe: () => Promise<boolean>
}

async function launch(spec: ContainerSpec, onLog: (text: string) => void) {
  disableForeignReaper()
  // Loaded only here: it takes half a second, and most machines never come this way.
  const { GenericContainer, Wait } = await import('testcontainers')
  let container = new GenericContainer(spec.image).withWaitStrategy(Wait.forLogMessage(spec.readyLog))
  if (spec.ports === 'host') container = container.withNetworkMode('host')
  else container = container.withExposedPorts(...spec.ports)
  if (spec.command !== undefined) container = container.withCommand([...spec.command])
  if (spec.env !== undefined) container = container.withEnvironment({ ...spec.env })
  if (spec.hostname !== undefined) container = container.withHostname(spec.hostname)
  if (spec.files !== undefined) container = container.withCopyContentToContainer([...spec.files])
  return container
    .withLogConsumer((stream) => stream.on('data', (chunk: Buffer | string) => onLog(String(chunk))))
    .start()
}

/** Runs a container; resolves undefined, saying why, when the daemon cannot run it, so that the next source is tried. */
export async function startContainer(spec: ContainerSpec): Promise<RunningServer | undefined> {
  let log = ''
  const onLog = (text: string) => (log = (log + text).slice(-LOG_CHARS))
  try {
    const started = await launch(spec, onLog)
    return await serve(spec, started, () => log)
  } catch (error) {
    stderrNotice(`${spec.image} does not run in Docker (${(error as Error).message}); trying the next source`)
    return undefined
  }
}

async function serve(
  spec: ContainerSpec,
  started: Awaited<ReturnType<typeof launch>>,
  log: () => string,
): Promise<RunningServer> {
  const { getContainerRuntimeClient } = await import('testcontainers')
  const handle = (await getContainerRuntimeClient()).container.getById(started.getId())
  const release = guard({ kind: 'container', id: started.getId() })
  let isUp = true
  let isStopped = false
  const ready = async () => {
    if (await pollUntil(spec.probe, READY_DEADLINE_MS, 50)) return
    throw new Error(`it does not answer within ${READY_DEADLINE_MS} ms`)
  }
  const kill9 = async () => {
    if (isUp) await handle.kill({ signal: 'SIGKILL' })
    isUp = false
    await handle.wait()
  }
  await ready()
  return {
    source: 'docker',
    get pid(): number {
      throw noPid(spec.what)
    },
    log,
    kill9,
    restart: async () => {
      if (isUp) await handle.stop({ t: 10 })
      await handle.start()
      isUp = true
      await ready()
    },
    stop: async () => {
      if (isStopped) return
      isStopped = true
      await handle.remove({ force: true, v: true })
      release()
    },
  }
}
