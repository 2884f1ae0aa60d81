import { createLogger, exitCodeOf, LockstepError } from '@lockstep/runtime'
import { demoCommand } from './commands/demo.ts'
import { devCommand } from './commands/dev.ts'
import { doctorCommand } from './commands/doctor.ts'
import { serviceCommands } from './commands/services.ts'
import { runLoad } from './demo/load-process.ts'
import { fail } from './errors.ts'
import { programHelp, type Command } from './help.ts'

const commands: readonly Command[] = [demoCommand, devCommand, doctorCommand, ...serviceCommands]

/** Runs one command line. */
async function run([name, ...argv]: readonly string[]): Promise<void> {
  if (name === undefined || name === '--help' || name === 'help') {
    process.stdout.write(programHelp(commands))
    return
  }
  // Started by the demo, not by people.
  if (name === 'demo-load') return await runLoad(argv[0] ?? '{}')
  const command = commands.find((candidate) => candidate.name === name)
  if (!command) throw fail('LOCKSTEP_CLI_UNKNOWN_COMMAND', { command: name })
  await command.run(argv)
}

try {
  await run(process.argv.slice(2))
} catch (error) {
  // RulesError and the like have no common class, only the field.
  if (error instanceof LockstepError || (error as { disposition?: string }).disposition === 'config') process.stderr.write(`lockstep: ${(error as Error).message}\n`)
  else createLogger({ service: 'lockstep', fd: 2 }).error({ err: error }, 'failed')
  process.exitCode = exitCodeOf(error)
}
