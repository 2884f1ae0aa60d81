import { spawn, spawnSync } from 'node:child_process'
import { findBinary } from './find-binary.ts'
import { stderrNotice, type Notice } from './provider.ts'

/** Names the packages that bring one server, by package manager. */
export interface PackageNames {
  readonly apt: readonly string[]
  readonly dnf: readonly string[]
  readonly apk: readonly string[]
  readonly brew: readonly string[]
}

type ManagerName = keyof PackageNames

/**
 * Installs without starting a service: RUNLEVEL=1 and, where nobody set one, a policy that refuses every start.
 * The lists are fetched where they are missing, and once more where they are too old to be of use.
 */
const APT_SCRIPT = `
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' >$policy && chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
wait='-o DPkg::Lock::Timeout=300'
install() { apt-get $wait install -y -q --no-install-recommends "$@"; }
if [ -z "$(find /var/lib/apt/lists -name '*Packages*' 2>/dev/null | head -n 1)" ]; then apt-get $wait update -q; fi
install "$@" || { apt-get $wait update -q && install "$@"; }
`

const COMMANDS: Readonly<Record<ManagerName, (packages: readonly string[]) => readonly string[]>> = {
  apt: (packages) => ['sh', '-c', APT_SCRIPT, 'install', ...packages],
  dnf: (packages) => ['dnf', 'install', '-y', '--setopt=install_weak_deps=False', ...packages],
  apk: (packages) => ['apk', 'add', '--no-cache', ...packages],
  brew: (packages) => ['brew', 'install', ...packages],
}

const PROGRAMS: Readonly<Record<ManagerName, string>> = { apt: 'apt-get', dnf: 'dnf', apk: 'apk', brew: 'brew' }
const MANAGERS = ['apt', 'dnf', 'apk', 'brew'] as const

/** Says how a person would install it, for an error's remedy. */
export const installHint = (names: PackageNames): string =>
  `install it (apt-get install ${names.apt.join(' ')}; brew install ${names.brew.join(' ')})`

/** The words before a command that make it run with root's rights: none needed, sudo without a question, or no way. */
function elevation(manager: ManagerName, path: string): readonly string[] | undefined {
  if (manager === 'brew' || process.getuid?.() === 0) return []
  const sudo = findBinary('sudo', path)
  if (sudo === undefined || spawnSync(sudo, ['-n', 'true'], { stdio: 'ignore' }).status !== 0) return undefined
  return [sudo, '-n']
}

const run = (command: readonly string[]): Promise<boolean> =>
  new Promise((resolve) => {
    const [file = 'false', ...args] = command
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 2] })
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })

/** Installs the packages with the machine's package manager, saying so; false when there is none or no right to. */
export async function installPackages(
  names: PackageNames,
  path: string,
  notice: Notice = stderrNotice,
): Promise<boolean> {
  const manager = MANAGERS.find((candidate) => findBinary(PROGRAMS[candidate], path) !== undefined)
  if (manager === undefined) return false
  const prefix = elevation(manager, path)
  if (prefix === undefined) return false
  notice(
    `installing ${names[manager].join(' ')} with ${PROGRAMS[manager]} (LOCKSTEP_SERVERS=env,docker,binary forbids it)`,
  )
  return run([...prefix, ...COMMANDS[manager](names[manager])])
}
