import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** The `lockstep` command as compiled, below `ROOT`. */
export const PROGRAM = 'cli/dist/main.js'

/** Compiles what the processes run, as the image does. */
export function buildLockstep(): void {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, '-b', 'cli'], { cwd: ROOT, stdio: 'inherit' })
}
