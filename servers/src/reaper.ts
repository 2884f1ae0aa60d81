import { spawn, type ChildProcess } from 'node:child_process'

/** Names one thing that must not outlive this process: a process and the signal that ends it, a directory, a container. */
export type Guarded =
  | { readonly kind: 'process'; readonly pid: number; readonly signal: 'TERM' | 'QUIT' | 'KILL' }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'container'; readonly id: string }

/**
 * Reads one line per change, each the whole state, so the last complete line is what is left behind. Its input ends
 * when the parent is gone, however it went (exit, crash, kill -9): then it ends processes, waits up to 5 s, and clears up.
 * A directory is tried for up to 5 s too: a grandchild that still writes into it makes it "not empty" while it is removed.
 */
const SCRIPT = `
trap '' INT TERM HUP QUIT
last=
while IFS= read -r line; do last=$line; done
IFS='	'; set -f; set -- $last
each() { for e in "$@"; do case $e in p:*) r=\${e#p:}; kill -"$sig" "\${r%%:*}" 2>/dev/null && some=1;; esac; done; }
for e in "$@"; do case $e in p:*) r=\${e#p:}; kill -"\${r#*:}" "\${r%%:*}" 2>/dev/null;; esac; done
n=0
while [ $n -lt 50 ]; do some=; sig=0; each "$@"; [ "$some" ] || break; sleep 0.1; n=$((n+1)); done
sig=9; each "$@"
for e in "$@"; do case $e in
  d:*) n=0; until rm -rf -- "\${e#d:}" 2>/dev/null || [ $n -ge 50 ]; do sleep 0.1; n=$((n+1)); done;;
  c:*) docker rm -fv "\${e#c:}" >/dev/null 2>&1;;
esac; done
`

const guarded = new Set<Guarded>()
let reaper: ChildProcess | undefined

function startReaper(): ChildProcess {
  // Its own session: a Ctrl-C meant for the parent's group must not end the one who clears up after it.
  const child = spawn('sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  child.once('error', () => (reaper = undefined))
  child.stdin.on('error', () => (reaper = undefined))
  child.unref()
  if ('unref' in child.stdin && typeof child.stdin.unref === 'function') child.stdin.unref()
  return child
}

const encode = (item: Guarded): string => {
  if (item.kind === 'process') return `p:${item.pid}:${item.signal}`
  return item.kind === 'directory' ? `d:${item.path}` : `c:${item.id}`
}

function publish(): void {
  reaper ??= startReaper()
  reaper.stdin?.write(`${[...guarded].map(encode).join('\t')}\n`)
}

/**
 * Makes sure that a process, directory or container is gone soon after this process is, also after kill -9.
 * Returns the function that ends the watch; call it once the thing is gone.
 */
export function guard(item: Guarded): () => void {
  guarded.add(item)
  publish()
  return () => {
    if (guarded.delete(item)) publish()
  }
}
