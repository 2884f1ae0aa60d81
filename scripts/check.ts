/** `npm run check`: format, lint, types, unit tests, dead code and generated references, each step timed. */
import { spawnSync } from 'node:child_process'

const steps: readonly (readonly [name: string, command: string, args: readonly string[]])[] = [
  ['format', 'oxfmt', ['--check', '.']],
  ['lint', 'oxlint', ['--type-aware', '--deny-warnings', '.']],
  ['types', 'tsc', ['-b']],
  ['references', 'node', ['-C', 'lockstep-source', 'scripts/generate.ts', '--check']],
  ['dead code', 'knip', ['--no-progress']],
  ['unit tests', 'vitest', ['run', '--project', 'unit', '--reporter', 'dot']],
]

const failed: string[] = []
for (const [name, command, args] of steps) {
  const startedAt = performance.now()
  const done = spawnSync(command, args, { encoding: 'utf8' })
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${done.status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`)
  if (done.status !== 0) {
    failed.push(name)
    console.log(done.stdout + done.stderr)
  }
}
if (failed.length > 0) {
  console.log(`check failed: ${failed.join(', ')}`)
  process.exit(1)
}
