import {
  assertNodeVersion,
  createLogger,
  createMetrics,
  Lifecycle,
  loadConfig,
  startAdminServer,
  type ConfigOf,
  type ConfigTable,
  type Health,
  type Logger,
  type MetricsRegistry,
} from '@lockstep/runtime'
import { COMMANDS, type CommandName } from './commands.ts'
import { environment } from './environment.ts'
import { commandHelp, configTable, type Command } from './help.ts'

/** A service as a room exports it. */
export interface RunningService {
  /** Rejects with what broke the service; then the process ends and its supervisor starts it again. */
  readonly closed?: Promise<void> | undefined
  stop(): Promise<void>
  status(): object
}

/** What a service needs from its process. */
export interface ServiceContext {
  readonly log: Logger
  readonly metrics: MetricsRegistry
}

/** How one service is run as a process of its own. */
export interface ServiceDefinition<Table extends ConfigTable> {
  readonly name: CommandName
  readonly options: Table
  start(config: ConfigOf<Table>, context: ServiceContext): Promise<RunningService>
  /** Absent where the service has an admin server of its own. */
  readonly health?: ((service: RunningService, isDraining: boolean) => Health) | undefined
}

interface AdminOptions {
  readonly adminHost: string
  readonly adminPort: number
}

/** Handles --help and --print-config; true when that was all. */
export function answersQuestion(usage: string, summary: string, table: ConfigTable, argv: readonly string[]): boolean {
  if (argv.includes('--help')) process.stdout.write(commandHelp(usage, summary, table))
  else if (argv.includes('--print-config')) process.stdout.write(configTable(table, argv, environment))
  else return false
  return true
}

/** Turns a service into a command that runs it under the lifecycle. */
export function serviceCommand<Table extends ConfigTable>(definition: ServiceDefinition<Table>): Command {
  const { name, options } = definition
  return {
    async run(argv) {
      if (answersQuestion(`${name} [options]`, COMMANDS[name].summary, options, argv)) return
      const log = createLogger({ service: name })
      const lifecycle = new Lifecycle({ log })
      const metrics = createMetrics()
      lifecycle.add({ name: 'node', start: () => assertNodeVersion(), stop: () => undefined })
      let service: RunningService | undefined
      let admin: { close(): Promise<void> } | undefined
      lifecycle.add({
        name,
        async start() {
          const config = loadConfig(options, { env: environment, argv: argv.filter((word) => word !== '--check') })
          if (argv.includes('--check')) {
            void lifecycle.stop()
            return
          }
          const running = await definition.start(config, { log, metrics })
          service = running
          running.closed?.catch((error: unknown) => lifecycle.fail(error))
          const { health } = definition
          if (!health) return
          const { adminHost, adminPort } = config as unknown as AdminOptions
          admin = await startAdminServer({
            host: adminHost,
            port: adminPort,
            metrics,
            health: () => health(running, lifecycle.draining),
            status: () => running.status(),
            portOption: '--admin-port',
          })
          log.info({}, 'started')
        },
        async stop() {
          await service?.stop()
          await admin?.close()
        },
      })
      await lifecycle.run()
    },
  }
}
