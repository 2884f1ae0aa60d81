import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pollUntil, startRedis } from '@lockstep/servers'
import { quantiles } from '../bench.ts'
import { buildLockstep, PROGRAM, ROOT } from '../lockstep.ts'
import { commitItems, openItemsDatabase, waitsOf } from '../pgbench.ts'

const LISTENER = fileURLToPath(new URL('listener.ts', import.meta.url))
// As the image runs it.
const FLAGS = ['--enable-source-maps', '--max-semi-space-size=16', PROGRAM, 'dev']
const RULES = 'tables:\n  public.items:\n    - tag: item:{id}\n'
const NAMESPACE = 'bench'
const LISTENERS = 4
// The compilers are at work for about that long.
const WARM_SECONDS = 10
const SECONDS = 15

/** Latencies from a commit's acknowledgement at the writer until the last of the processes had applied it, ms. */
export interface CommitToL1 {
  readonly commits: number
  readonly p50: number
  readonly p99: number
}

/**
 * Lets pgbench commit `rate` rows a second while `lockstep dev` keeps four processes in step, and takes for each commit the
 * slowest of the four. One clock: one machine.
 */
export async function measureCommitToL1(rate: number): Promise<CommitToL1> {
  buildLockstep()
  const work = mkdtempSync(join(tmpdir(), 'lockstep-bench-'))
  const [database, redis] = await Promise.all([openItemsDatabase(), startRedis({ needs: 'process' })])
  const { postgres } = database
  const started: ChildProcess[] = []
  try {
    const rules = join(work, 'rules.yaml')
    writeFileSync(rules, RULES)
    const flags = {
      '--database-url': postgres.url,
      '--redis-url': redis.url,
      '--rules': rules,
      '--namespace': NAMESPACE,
    }
    const dev = spawn(process.execPath, [...FLAGS, ...Object.entries(flags).flat(), '--admin-port', '0'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    started.push(dev)
    await once(dev.stdout, 'data')
    const listeners = Array.from({ length: LISTENERS }, () =>
      fork(LISTENER, [JSON.stringify({ redisUrl: redis.url, namespace: NAMESPACE })], { execArgv: process.execArgv }),
    )
    started.push(...listeners)
    await Promise.all(listeners.map((listener) => once(listener, 'message')))
    const acknowledged = await commitItems(postgres, { rate, seconds: WARM_SECONDS + SECONDS })
    const applied = await slowest(listeners, acknowledged.size)
    const waits = waitsOf(acknowledged, applied, WARM_SECONDS)
    return { commits: waits.length, ...quantiles(waits) }
  } finally {
    // Before the servers: they take back what they have made there.
    await Promise.all(started.map(end))
    await redis.stop()
    await database.close()
    rmSync(work, { recursive: true })
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

/** When the last of the processes had applied each id. */
async function slowest(listeners: readonly ChildProcess[], commits: number): Promise<Map<number, number>> {
  // The last commit has reached everybody long before pgbench has closed its connections.
  await pollUntil(() => false, 1_000, 1_000)
  const applied = new Map<number, number>()
  const counts = new Map<number, number>()
  for (const listener of listeners) {
    const answer = once(listener, 'message')
    listener.send('report')
    for (const [id, at] of ((await answer) as [[number, number][]])[0]) {
      counts.set(id, (counts.get(id) ?? 0) + 1)
      applied.set(id, Math.max(applied.get(id) ?? 0, at))
    }
  }
  for (const [id, count] of counts) if (count < listeners.length) applied.delete(id)
  if (applied.size < commits) throw new Error(`${commits - applied.size} of ${commits} commits did not reach everybody`)
  return applied
}
