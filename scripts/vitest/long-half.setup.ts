import { globSync } from 'node:fs'
import type { TestProject } from 'vitest/node'

/** Says at the end of a run which tests it left out: nothing is skipped unseen. */
export default function setup({ vitest }: TestProject): (() => void) | undefined {
  if (vitest.projects.some(({ name }) => name === 'itest-long')) return undefined
  const files = globSync('itest/**/*.long.test.ts', { exclude: (path) => path.includes('node_modules') })
  return () => process.stderr.write(`The long half was left out, ${files.length} files: npm run itest\n`)
}
