import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline/promises'
import type { EstimateOutput, JobOutput } from '@lockstep/cdn-purger'
import { loadConfig, type ConfigOf, type ConfigTable } from '@lockstep/runtime'
import { createPurgerApi, type PurgerApi } from '../adapters/purger-api.ts'
import { COMMANDS } from '../commands.ts'
import { environment } from '../environment.ts'
import { fail } from '../errors.ts'
import type { Command } from '../help.ts'
import { reportFailure } from '../human-log.ts'
import { progressLine } from '../progress-bar.ts'
import { API_CLIENT_OPTIONS, off, SELECTION_OPTIONS, selectionOf, TAGS_OPTION, textOption } from '../purger-options.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of `lockstep replay`. */
export const REPLAY_OPTIONS = {
  ...API_CLIENT_OPTIONS,
  ...SELECTION_OPTIONS,
  tags: TAGS_OPTION,
  deadLetters: off('LOCKSTEP_REPLAY_DEAD_LETTERS', 'Only what a provider refused and nobody purged since.'),
  reason: textOption('LOCKSTEP_REPLAY_REASON', 'Why; journaled.'),
  key: textOption(
    'LOCKSTEP_REPLAY_KEY',
    'Idempotency key: with the same one, a replay is made once. Empty for a new one.',
  ),
  dryRun: off('LOCKSTEP_REPLAY_DRY_RUN', 'Print what it would cost, and do nothing.'),
  yes: off('LOCKSTEP_REPLAY_YES', 'Do not ask.'),
  detach: off('LOCKSTEP_REPLAY_DETACH', 'Do not wait for its end.'),
  list: off('LOCKSTEP_REPLAY_LIST', 'List the replays, newest first.'),
  watch: textOption('LOCKSTEP_REPLAY_WATCH', 'Follow this replay instead of making one.'),
  pause: textOption('LOCKSTEP_REPLAY_PAUSE', 'Pause this replay.'),
  resume: textOption('LOCKSTEP_REPLAY_RESUME', 'Resume this replay.'),
  cancel: textOption('LOCKSTEP_REPLAY_CANCEL', 'Cancel this replay.'),
} as const satisfies ConfigTable

type Options = ConfigOf<typeof REPLAY_OPTIONS>

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const one = (job: JobOutput): string =>
  `${job.id} ${job.state} ${job.done}/${job.total}${job.refused > 0 ? ` (${job.refused} refused)` : ''} ${job.createdAt} ${job.actor}: ${job.reason}`

/** `lockstep replay`: exits 1 when the replay failed or was cancelled. */
export const command: Command = {
  async run(argv) {
    const usage = 'replay --since 30m --reason TEXT [--dry-run] [--yes]'
    if (answersQuestion(usage, COMMANDS.replay.summary, REPLAY_OPTIONS, argv)) return
    try {
      const options = loadConfig(REPLAY_OPTIONS, { env: environment, argv: argv.filter((word) => word !== '--check') })
      if (argv.includes('--check')) return
      await run(createPurgerApi(options), options)
    } catch (error) {
      reportFailure(error)
    }
  },
}

async function run(api: PurgerApi, options: Options): Promise<void> {
  const show = (job: JobOutput): void => print(options.json ? JSON.stringify(job) : one(job))
  if (options.list) {
    const { items } = await api.call<{ items: JobOutput[] }>({ path: '/v1/replays' })
    return items.forEach(show)
  }
  for (const verb of ['pause', 'resume', 'cancel'] as const) {
    if (options[verb] === '') continue
    return show(
      await api.call<JobOutput>({ method: 'POST', path: `/v1/replays/${encodeURIComponent(options[verb])}/${verb}` }),
    )
  }
  if (options.watch !== '') return await follow(api, options.watch, options)
  const job = await make(api, options)
  if (!job) return
  if (options.detach) return show(job)
  await follow(api, job.id, options)
}

/** Asks what it costs, then whether to do it, then does it; null when it is not to be. */
async function make(api: PurgerApi, options: Options): Promise<JobOutput | null> {
  const { tags, deadLetters, reason, json } = options
  const selection = {
    ...selectionOf(options, Date.now()),
    ...(tags.length > 0 && { tags }),
    ...(deadLetters && { deadLetters }),
  }
  const request = { method: 'POST', path: '/v1/replays' } as const
  const why = reason || 'no reason given'
  const cost = await api.call<EstimateOutput>({ ...request, body: { selection, reason: why, dryRun: true } })
  if (options.dryRun) {
    print(json ? JSON.stringify(cost) : describe(cost))
    return null
  }
  if (!options.yes && !(await isWanted(cost))) return null
  const body = { selection, reason: why, confirmToken: cost.confirmToken }
  return await api.call<JobOutput>({ ...request, body, idempotencyKey: options.key || randomUUID() })
}

function describe({ keys, requests, seconds, providers }: EstimateOutput): string {
  const lines = providers.map(({ name, requests: count, tokens, seconds: takes }) => {
    const costs = tokens.map((token) => `${token.count} tokens of ${token.unit}`).join(', ')
    return `  ${name}: ${count} requests${costs && `, ${costs}`}, ${takes} s`
  })
  return [`${keys} keys, ${requests} requests, about ${seconds} s`, ...lines].join('\n')
}

async function isWanted(cost: EstimateOutput): Promise<boolean> {
  if (!process.stdin.isTTY) throw fail('LOCKSTEP_CLI_NOT_CONFIRMED', { keys: cost.keys })
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${describe(cost)}\nPurge them again? [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** Shows the progress until the end: a bar on a terminal, one line per change elsewhere. */
async function follow(api: PurgerApi, id: string, { json }: Options): Promise<void> {
  const path = `/v1/replays/${encodeURIComponent(id)}/events`
  const isLive = process.stdout.isTTY && !json
  let first: { readonly atMs: number; readonly ended: number } | undefined
  let last: JobOutput | undefined
  for await (const line of api.lines({ path, accept: 'text/event-stream' })) {
    if (!line.startsWith('data: ')) continue
    last = JSON.parse(line.slice('data: '.length)) as JobOutput
    const ended = last.done + last.refused
    first ??= { atMs: performance.now(), ended }
    const seconds = (performance.now() - first.atMs) / 1_000
    const text = json ? JSON.stringify(last) : progressLine(last, seconds > 0 ? (ended - first.ended) / seconds : 0)
    process.stdout.write(isLive ? `\r\u001b[K${text}` : `${text}\n`)
  }
  if (isLive) process.stdout.write('\n')
  if (last?.state !== 'completed') process.exitCode = 1
}
