import { spawnSync } from 'node:child_process'
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
