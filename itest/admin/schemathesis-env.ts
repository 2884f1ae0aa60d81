import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const REQUIREMENTS = fileURLToPath(new URL('requirements.txt', import.meta.url))
// A slow package index; a venv alone takes 3 s.
const INSTALL_MS = 170_000

/**
 * Answers the path of a pinned `schemathesis`, in a virtual environment made once per list of versions and kept in the
 * user's cache. What is there needs no network.
 * @throws Error that says which step failed and what it printed.
 */
export function ensureSchemathesis(): string {
  const versions = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 16)
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'lockstep')
  const home = join(cache, `schemathesis-${versions}`)
  const program = join(home, 'bin', 'schemathesis')
  const complete = join(home, 'complete')
  if (existsSync(complete)) return program
  // What an interrupted run left is no environment.
  rmSync(home, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  must('python3', ['-m', 'venv', home])
  must(join(home, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', '--requirement', REQUIREMENTS])
  must(program, ['--version'])
  writeFileSync(complete, '')
  return program
}

function must(command: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', timeout: INSTALL_MS })
  if (status === 0) return
  const said = `${stdout ?? ''}${stderr ?? ''}`.slice(-2_000)
  throw new Error(
    `schemathesis cannot be installed: ${command} ${args[0]} failed (${error?.message ?? `exit ${status}`}): ${said}\n` +
      'It needs Python 3 with venv and, once, a package index (PyPI or a mirror that pip is configured for).',
  )
}

/** One run over a document: what is asked of which server, and as whom. */
export interface Fuzz {
  /** As of `ensureSchemathesis`. */
  readonly program: string
  readonly document: string
  readonly url: string
  /** Undefined for nobody. */
  readonly token: string | undefined
  /** Besides those that every server must pass. */
  readonly checks: readonly string[]
  /** Per operation and phase. */
  readonly examples: number
  /** Where it runs and leaves its findings; may hold a `schemathesis.toml`. */
  readonly directory: string
}

const SEED = process.env['LOCKSTEP_FUZZ_SEED'] ?? '20261121'
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'ignored_auth',
]

/** Runs it; `LOCKSTEP_FUZZ_EXAMPLES` and `LOCKSTEP_FUZZ_SEED` choose more examples and others. */
export async function fuzz(run: Fuzz): Promise<{ code: number | null; output: string }> {
  const examples = process.env['LOCKSTEP_FUZZ_EXAMPLES'] ?? run.examples
  const checks = [...CHECKS, ...run.checks].join()
  const requests = `--url ${run.url} --checks ${checks} --max-examples ${examples} --seed ${SEED} --workers 1`
  const rest = '--phases examples,coverage,fuzzing --generation-database none --no-color --warnings off'
  const bearer = run.token === undefined ? [] : ['--header', `Authorization: Bearer ${run.token}`]
  const args = ['run', run.document, ...bearer, ...`${requests} ${rest}`.split(' ')]
  const child = spawn(run.program, args, { cwd: run.directory })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}
