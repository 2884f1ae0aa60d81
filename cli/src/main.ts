import { COMMANDS, type CommandName } from './commands.ts'
import { fail } from './errors.ts'
import { programHelp } from './help.ts'
import { reportFailure } from './human-log.ts'

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
  reportFailure(error)
}
