import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
// Suites that several adapters share are registered by files with these endings.
const FILES = '{api,cache,cdn-purger,connector,invalidator,itest,runtime,schemas}/**/*{.test,-contract,-laws,faults}.ts'

/** Finds tests by their titles, wherever they have moved to. */
export function readTests(): (title: string) => readonly string[] {
  const paths = globSync(FILES, { cwd: ROOT, exclude: (path) => /node_modules|(^|\/)dist($|\/)/.test(path) }).toSorted()
  const texts = paths.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')] as const)
  return (title) => texts.filter(([, text]) => text.includes(`'${title}'`)).map(([path]) => path)
}
