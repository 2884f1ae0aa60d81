import { type RunningServer } from './server.ts'
import { ServerProcess, type ServerCommand } from './server-process.ts'
import type { WorkDir } from './work-dir.ts'

/** How to run a server that is a process of ours. */
export interface OwnServerOptions {
  /** Its files; deleted when it stops, or cannot be started. */
  readonly work: WorkDir
  /** Asked before each start. */
  readonly command: () => ServerCommand
  readonly isReady: (started: ServerProcess) => Promise<boolean>
  /** Default as a power cut would. */
  readonly end?: ((server: ServerProcess) => Promise<void>) | undefined
}

/** Starts a server and waits until it is ready. Throws `LOCKSTEP_SRV_START` with its log. */
export async function startOwnServer(options: OwnServerOptions): Promise<Omit<RunningServer, 'source'>> {
  const { work, command, isReady, end = (ending) => ending.kill9() } = options
  const launch = async (): Promise<ServerProcess> => {
    const started = new ServerProcess(command())
    await started.ready(() => isReady(started))
    return started
  }
  let server = await launch().catch((error: unknown) => {
    work.remove()
    throw error
  })
  return {
    get pid() {
      return server.pid
    },
    log: () => server.log,
    kill9: () => server.kill9(),
    restart: async () => {
      await server.end('SIGTERM')
      server = await launch()
    },
    stop: async () => {
      await end(server)
      work.remove()
    },
  }
}
