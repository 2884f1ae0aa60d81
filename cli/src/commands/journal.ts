import type { RecordOutput } from '@lockstep/cdn-purger'
import { loadConfig, type ConfigOf, type ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'
import { createPurgerApi, type PurgerApi } from '../adapters/purger-api.ts'
import { COMMANDS } from '../commands.ts'
import { environment } from '../environment.ts'
import type { Command } from '../help.ts'
import { reportFailure } from '../human-log.ts'
import { API_CLIENT_OPTIONS, off, SELECTION_OPTIONS, selectionOf, textOption } from '../purger-options.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of `lockstep journal`. */
export const JOURNAL_OPTIONS = {
  ...API_CLIENT_OPTIONS,
  ...SELECTION_OPTIONS,
  tag: textOption('LOCKSTEP_JOURNAL_TAG', 'One tag.'),
  provider: textOption('LOCKSTEP_JOURNAL_PROVIDER', 'One provider.'),
  state: textOption(
    'LOCKSTEP_JOURNAL_STATE',
    'One state: accepted, acked, retrying, superseded, dead-lettered, escalated.',
  ),
  replayOf: textOption('LOCKSTEP_JOURNAL_REPLAY_OF', 'One replay.'),
  limit: {
    env: 'LOCKSTEP_JOURNAL_LIMIT',
    type: Type.Integer({ minimum: 0, maximum: 1_000 }),
    default: 0,
    desc: 'The first so many lines, oldest first; 0 for all.',
  },
  deadLetters: off('LOCKSTEP_JOURNAL_DEAD_LETTERS', 'List the newest dead letters instead.'),
  providers: off('LOCKSTEP_JOURNAL_PROVIDERS', 'List the providers as they stand instead.'),
} as const satisfies ConfigTable

type Options = ConfigOf<typeof JOURNAL_OPTIONS>
interface ProviderLine {
  readonly name: string
  readonly state: string
  readonly backlog: number
  readonly budgetFill: number
  readonly drainSeconds: number | null
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

/** `lockstep journal`: lines as they come, so that a pipe may end them. */
export const command: Command = {
  async run(argv) {
    if (answersQuestion('journal --since 1h [--tag TAG]', COMMANDS.journal.summary, JOURNAL_OPTIONS, argv)) return
    try {
      const options = loadConfig(JOURNAL_OPTIONS, { env: environment, argv: argv.filter((word) => word !== '--check') })
      if (argv.includes('--check')) return
      await run(createPurgerApi(options), options)
    } catch (error) {
      reportFailure(error)
    }
  },
}

async function run(api: PurgerApi, options: Options): Promise<void> {
  const { json, tag, provider, state, replayOf, limit } = options
  const show = (record: RecordOutput): void => print(json ? JSON.stringify(record) : readable(record))
  if (options.providers) {
    const { items } = await api.call<{ items: ProviderLine[] }>({ path: '/v1/providers' })
    return items.forEach((item) => print(json ? JSON.stringify(item) : providerLine(item)))
  }
  if (options.deadLetters)
    return (await api.call<{ items: RecordOutput[] }>({ path: '/v1/dead-letters' })).items.forEach(show)
  const given = { tag, provider, state, replayOf, limit: limit === 0 ? '' : String(limit) }
  const query = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''))
  const request = { path: '/v1/journal', query: { ...selectionOf(options, Date.now()), ...query } }
  for await (const line of api.lines({ ...request, accept: 'application/x-ndjson' })) {
    if (line !== '') print(json ? line : readable(JSON.parse(line) as RecordOutput))
  }
}

function readable({ at, state, phase, lane, provider, tag, commitLsn, batch, detail }: RecordOutput): string {
  return [at, state.padEnd(13), phase, lane, provider ?? '-', tag, commitLsn, batch ?? '-', detail ?? '']
    .join(' ')
    .trimEnd()
}

function providerLine({ name, state, backlog, budgetFill, drainSeconds }: ProviderLine): string {
  const drain = drainSeconds === null ? 'unknown' : `${drainSeconds} s`
  return `${name} ${state}, ${backlog} waiting, ${Math.round(budgetFill * 100)} % of its budget, drained in ${drain}`
}
