// Runs a tool or a TypeScript entry on the project's own Node 24, installing what is missing first.
// Plain JavaScript without dependencies: it must run on any Node >= 20 in a fresh clone.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name) => join(root, 'node_modules', '.bin', name)
const npmCli = process.env.npm_execpath

/** True when node_modules was installed from the lock file as it is now. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installed) || !existsSync(bin('vitest'))) return false
  const lock = join(root, 'package-lock.json')
  if (statSync(lock).mtimeMs <= statSync(installed).mtimeMs) return true
  const versions = (file) =>
    Object.entries(JSON.parse(readFileSync(file, 'utf8')).packages)
      .filter(([path, entry]) => path.startsWith('node_modules/') && !entry.optional && !entry.link)
      .map(([path, entry]) => `${path}@${entry.version}`)
  const have = new Set(versions(installed))
  return versions(lock).every((item) => have.has(item))
}

function npm(...args) {
  process.stderr.write(`lockstep: npm ${args.join(' ')}\n`)
  const [command, prefix] = npmCli?.endsWith('.js') ? [process.execPath, [npmCli]] : ['npm', []]
  const done = spawnSync(command, [...prefix, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
  if (done.status !== 0) {
    process.stderr.write(`lockstep: npm ${args[0]} failed; run it by hand to see why, then try again\n`)
    process.exit(1)
  }
}

/** The major version of the project's own Node, or 0 when its binary is missing. */
function projectNodeMajor() {
  const done = spawnSync(bin('node'), ['-p', 'process.versions.node'], { encoding: 'utf8' })
  return done.status === 0 ? Number.parseInt(done.stdout, 10) : 0
}

if (!isInstalled()) npm('ci', '--no-audit', '--no-fund')
if (projectNodeMajor() < 24) npm('rebuild', 'node')

const [target, ...args] = process.argv.slice(2)
const isEntry = target.endsWith('.ts') || target.endsWith('.mjs')
const file = isEntry ? join(root, target) : bin(target)
const flags = ['-C', 'lockstep-source', '--disable-warning=ExperimentalWarning']
const child = spawn(bin('node'), [...flags, file, ...args], {
  stdio: 'inherit',
  // The command line takes paths relative to where it was called; tools work at the root.
  cwd: target === 'cli/src/main.ts' ? (process.env.INIT_CWD ?? process.cwd()) : root,
  env: { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` },
})
// The terminal sends Ctrl-C to the whole group; a signal sent to this process alone is handed on.
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
process.on('SIGINT', () => {})
child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code))
