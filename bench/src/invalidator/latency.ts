import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pollUntil, startPostgres, startRedis } from '@lockstep/servers'
import pg from 'pg'
import { buildService } from '../connector/service.ts'
import { commitItems, ITEMS_TABLE } from '../pgbench.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const LISTENER = fileURLToPath(new URL('listener.ts', import.meta.url))
// As the image runs it.
const FLAGS = ['--enable-source-maps', '--max-semi-space-size=4', 'cli/dist/main.js', 'dev']
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
  buildService()
  const work = mkdtempSync(join(tmpdir(), 'lockstep-bench-'))
  const [postgres, redis] = await Promise.all([
    startPostgres({ needs: 'process', settings: { max_wal_size: '8GB', checkpoint_timeout: '1h' } }),
    startRedis({ needs: 'process' }),
  ])
  const started: ChildProcess[] = []
  try {
    await makeTable(postgres.url)
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
    return summary(acknowledged, applied)
  } finally {
    // Before the servers: they take back what they have made there.
    await Promise.all(started.map(end))
    await redis.stop()
    await postgres.stop()
    rmSync(work, { recursive: true })
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

async function makeTable(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(ITEMS_TABLE)
  await client.end()
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

function summary(acknowledged: ReadonlyMap<number, number>, applied: ReadonlyMap<number, number>): CommitToL1 {
  const firstMs = Math.min(...[...acknowledged.values()].slice(0, 1_000))
  const waits = [...acknowledged]
    .filter(([, atMs]) => atMs > firstMs + WARM_SECONDS * 1000)
    .map(([id, atMs]) => (applied.get(id) ?? Number.NaN) - atMs)
    .toSorted((a, b) => a - b)
  const at = (q: number): number => waits[Math.floor(waits.length * q)] ?? Number.NaN
  return { commits: waits.length, p50: at(0.5), p99: at(0.99) }
}
