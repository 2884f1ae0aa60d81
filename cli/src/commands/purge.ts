import { randomUUID } from 'node:crypto'
import { newToken, ROLES, type JobOutput, type RecordOutput, type Role } from '@lockstep/cdn-purger'
import { loadConfig, type ConfigOf, type ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'
import { createPurgerApi, type PurgerApi } from '../adapters/purger-api.ts'
import { COMMANDS } from '../commands.ts'
import { environment } from '../environment.ts'
import type { Command } from '../help.ts'
import { reportFailure } from '../human-log.ts'
import { API_CLIENT_OPTIONS, off, TAGS_OPTION, textOption } from '../purger-options.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of `lockstep purge`. */
export const PURGE_OPTIONS = {
  ...API_CLIENT_OPTIONS,
  tags: TAGS_OPTION,
  class: textOption('LOCKSTEP_PURGE_CLASS', 'Purge a whole class.'),
  everything: off('LOCKSTEP_PURGE_EVERYTHING', 'Ask for a purge of everything, which a second administrator confirms.'),
  reason: textOption('LOCKSTEP_PURGE_REASON', 'Why; journaled.'),
  key: textOption('LOCKSTEP_PURGE_KEY', 'Idempotency key; empty for a new one.'),
  list: off('LOCKSTEP_PURGE_LIST', 'List the purges that people asked for, newest first.'),
  show: textOption('LOCKSTEP_PURGE_SHOW', 'Show this purge, and what the journal holds of it.'),
  confirm: textOption('LOCKSTEP_PURGE_CONFIRM', 'Confirm this purge of everything.'),
  cancel: textOption('LOCKSTEP_PURGE_CANCEL', 'Cancel this purge.'),
  verify: textOption(
    'LOCKSTEP_PURGE_VERIFY',
    'Read this path through each tier and compare it with the fences of --tags.',
  ),
  newToken: {
    env: 'LOCKSTEP_PURGE_NEW_TOKEN',
    type: Type.String({ pattern: `^$|^[A-Za-z0-9._@-]{1,64}:(${ROLES.join('|')})$` }),
    default: '',
    desc: 'Make a token for NAME:ROLE and the entry of LOCKSTEP_PURGER_API_TOKENS that lets it in.',
  },
} as const satisfies ConfigTable

type Options = ConfigOf<typeof PURGE_OPTIONS>
type ShownJob = JobOutput & { readonly journal?: readonly RecordOutput[] }
interface Verdict {
  readonly tier: string
  readonly verdict: string
  readonly url: string
  readonly detail: string | null
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

/** `lockstep purge`. `--verify` exits 1 unless every tier is fresh. */
export const command: Command = {
  async run(argv) {
    const usage = 'purge --tags a:1,b:2 | --class NAME | --everything --reason TEXT'
    if (answersQuestion(usage, COMMANDS.purge.summary, PURGE_OPTIONS, argv)) return
    try {
      const options = loadConfig(PURGE_OPTIONS, { env: environment, argv: argv.filter((word) => word !== '--check') })
      if (argv.includes('--check')) return
      if (options.newToken === '') await run(createPurgerApi(options), options)
      else printToken(options)
    } catch (error) {
      reportFailure(error)
    }
  },
}

function printToken({ newToken: asked, json }: Options): void {
  const [name = '', role = ''] = asked.split(':')
  const made = newToken({ name, role: role as Role })
  print(json ? JSON.stringify(made) : `token (kept nowhere): ${made.token}\nLOCKSTEP_PURGER_API_TOKENS: ${made.line}`)
}

async function run(api: PurgerApi, options: Options): Promise<void> {
  const show = (job: ShownJob): void => print(options.json ? JSON.stringify(job) : readable(job))
  const at = (id: string, verb = '') => `/v1/purges/${encodeURIComponent(id)}${verb}`
  if (options.list) return (await api.call<{ items: JobOutput[] }>({ path: '/v1/purges' })).items.forEach(show)
  if (options.show !== '') return show(await api.call<ShownJob>({ path: at(options.show) }))
  if (options.confirm !== '')
    return show(await api.call<ShownJob>({ method: 'POST', path: at(options.confirm, '/confirm') }))
  if (options.cancel !== '')
    return show(await api.call<ShownJob>({ method: 'POST', path: at(options.cancel, '/cancel') }))
  if (options.verify !== '') return await verify(api, options)
  const { tags, class: tagClass, everything, reason } = options
  const body = {
    reason: reason || 'no reason given',
    ...(tags.length > 0 && { tags }),
    ...(tagClass !== '' && { class: tagClass }),
    ...(everything && { everything }),
  }
  const idempotencyKey = options.key || randomUUID()
  show(await api.call<ShownJob>({ method: 'POST', path: '/v1/purges', body, idempotencyKey }))
}

function readable({ id, state, done, total, tags, actor, reason, journal = [] }: ShownJob): string {
  const lines = journal.map((record) =>
    (['at', 'state', 'phase', 'provider', 'tag', 'detail'] as const).map((name) => record[name] ?? '-').join(' '),
  )
  const next = state === 'awaiting-confirmation' ? [`another administrator: lockstep purge --confirm ${id}`] : []
  return [`${id} ${state} ${done}/${total} ${(tags ?? []).join(',')} ${actor}: ${reason}`, ...next, ...lines].join('\n')
}

async function verify(api: PurgerApi, { verify: path, tags, json }: Options): Promise<void> {
  const body = { path, ...(tags.length > 0 && { tags }) }
  const { items } = await api.call<{ items: Verdict[] }>({ method: 'POST', path: '/v1/verify', body })
  for (const item of items)
    print(
      json ? JSON.stringify(item) : `${item.verdict.padEnd(8)} ${item.tier} ${item.url} ${item.detail ?? ''}`.trimEnd(),
    )
  if (items.some(({ verdict }) => verdict !== 'fresh')) process.exitCode = 1
}
