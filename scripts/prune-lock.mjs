// Drops from package-lock.json what no registry serves: optional packages for other platforms that have no entry of their
// own. `npm install` writes their names back, and then `npm ci` refuses the lock; run this after every `npm install`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const file = join(import.meta.dirname ?? '.', '..', 'package-lock.json')

/** Names of optional dependencies without an entry, as `path: name`. */
export function dangling(packages) {
  return Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {})
      .filter((name) => !packages[`${path}/node_modules/${name}`] && !packages[`node_modules/${name}`])
      .map((name) => ({ path, name })),
  )
}

if (process.argv[1]?.endsWith('prune-lock.mjs')) {
  const lock = JSON.parse(readFileSync(file, 'utf8'))
  for (const { path, name } of dangling(lock.packages)) delete lock.packages[path].optionalDependencies[name]
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
}
