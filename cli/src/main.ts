import { createLogger, exitCodeOf, LockstepError } from '@lockstep/runtime'
import { COMMANDS, type CommandName } from './commands.ts'
import { fail } from './errors.ts'
import { programHelp } from './help.ts'

/** Runs one command line. */
async function run([name, ...argv]: readonly string[]): Promise<void> {
  if (name === undefined || name === '--help' || name === 'help') {
    process.stdout.write(programHelp(COMMANDS))
    return
  }
  // Started by the demo, not by people.
  if (name === 'demo-load') return await (await import('./demo/load-process.ts')).runLoad(argv[0] ?? '{}')
  if (!(name in COMMANDS)) throw fail('LOCKSTEP_CLI_UNKNOWN_COMMAND', { command: name })
  const command = await COMMANDS[name as CommandName].load()
  await command.run(argv)
}

try {
  await run(process.argv.slice(2))
} catch (error) {
  // RulesError and the like have no common class, only the field.
  if (error instanceof LockstepError || (error as { disposition?: string }).disposition === 'config')
    process.stderr.write(`lockstep: ${(error as Error).message}\n`)
  else createLogger({ service: 'lockstep', fd: 2 }).error({ err: error }, 'failed')
  process.exitCode = exitCodeOf(error)
}
