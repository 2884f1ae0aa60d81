import { printConfig, type ConfigTable } from '@lockstep/runtime'

/** One command of the command line. */
export interface Command {
  /** Runs until done; what it throws becomes the exit code. */
  run(argv: readonly string[]): Promise<void>
}

const wrap = (text: string, unit?: string): string => (unit ? `${text} (${unit})` : text)

/** The help of one command: every option as flag and environment variable, with its default. */
export function commandHelp(usage: string, summary: string, table: ConfigTable): string {
  const lines = printConfig(table, { env: {} }).map(({ flag, env, value, desc, unit }) => {
    const standard = value === '' ? '' : ` [${value}]`
    return `  ${flag.padEnd(28)} ${wrap(desc, unit)}${standard}\n  ${''.padEnd(28)} ${env}`
  })
  return [
    `Usage: lockstep ${usage}`,
    '',
    summary,
    '',
    'Options, as flags or environment variables (NAME_FILE reads the value from a file):',
    ...lines,
    '',
    '  --print-config               Show what is in effect and where it came from, secrets masked',
    '  --check                      Validate the options and exit',
    '  --help                       This text',
    '',
  ].join('\n')
}

/** The table of `--print-config`. */
export function configTable(table: ConfigTable, argv: readonly string[], env: NodeJS.ProcessEnv): string {
  const rows = printConfig(table, { env, argv: argv.filter((word) => word !== '--print-config') })
  const width = Math.max(...rows.map(({ env: name }) => name.length))
  return `${rows.map(({ env: name, value, origin }) => `${name.padEnd(width)}  ${value}  (${origin})`).join('\n')}\n`
}

/** The help of the whole program. */
export function programHelp(commands: Readonly<Record<string, { readonly summary: string }>>): string {
  return [
    'Usage: lockstep COMMAND [options]',
    '',
    'Keeps every cache layer of a service in step with its Postgres database.',
    '',
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(14)} ${summary}`),
    '',
    'lockstep COMMAND --help lists its options.',
    '',
  ].join('\n')
}
