import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { guard } from './reaper.ts'

/** Holds a server's files until it is stopped. */
export interface WorkDir {
  readonly path: string
  /** Deletes it with all it holds; safe to repeat. */
  remove(): void
}

/** Tells whether users other than the owner may enter the directory and read what is in it. */
export function isTraversable(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if (!existsSync(at) || (statSync(at).mode & 0o001) === 0) return false
    if (at === dirname(at)) return true
  }
}

/** The directory that servers running as another user can reach, also where TMPDIR is private to root. */
export const sharedTmp = (): string => (isTraversable(tmpdir()) ? tmpdir() : '/tmp')

/** Makes a directory that goes when `remove` is called or when this process ends in whatever way. */
export function makeWorkDir(name: string, owner?: { uid: number; gid: number }): WorkDir {
  const path = mkdtempSync(join(sharedTmp(), `lockstep-${name}-`))
  const release = guard({ kind: 'directory', path })
  if (owner === undefined) chmodSync(path, 0o755)
  else chownSync(path, owner.uid, owner.gid)
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
      release()
    },
  }
}
