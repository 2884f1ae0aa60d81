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
  if (error instanceof LockstepError) process.stderr.write(`lockstep: ${error.message}\n`)
  else createLogger({ service: 'lockstep', fd: 2 }).error({ err: error }, 'failed')
  process.exitCode = exitCodeOf(error)
}
