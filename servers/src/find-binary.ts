import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where servers live although a plain user's PATH may not say so: Debian's sbin, Homebrew. */
const EXTRA_DIRECTORIES = [
  '/usr/bin',
  '/usr/sbin',
  '/usr/local/bin',
  '/usr/local/sbin',
  '/opt/homebrew/bin',
  '/opt/homebrew/sbin',
]

/** Tells whether the file exists and may be run. */
export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Finds a program on PATH or in the usual places; undefined when it is not installed. */
export function findBinary(name: string, path: string): string | undefined {
  const directories = [...path.split(delimiter).filter(Boolean), ...EXTRA_DIRECTORIES]
  return directories.map((directory) => join(directory, name)).find(isExecutable)
}

/** Lists the sub-directories of a directory, none when it does not exist. */
export function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map((entry) => join(directory, entry.name))
  } catch {
    return []
  }
}
