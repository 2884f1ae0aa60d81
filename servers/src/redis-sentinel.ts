import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readServersConfig, type ServersConfig } from './config.ts'
import { ServersError } from './errors.ts'
import { findBinary } from './find-binary.ts'
import { freePort } from './free-port.ts'
import { startRedis, type RedisServer } from './redis.ts'
import { ServerProcess } from './server-process.ts'
import { ask, pollUntil } from './wait.ts'
import { words } from './words.ts'
import { makeWorkDir } from './work-dir.ts'

/** What the Sentinels call the master. */
const MASTER = 'main'
const SENTINELS = 3
/** Short, so that a test need not wait; a busy machine still answers a ping within it. */
const DOWN_AFTER_MS = 1_000
const READY_WITHIN_MS = 30_000

/** A master with a replica, watched by three Sentinels, as processes of this machine. */
export interface SentinelServers {
  /** As the configuration of every service takes it. */
  readonly url: string
  /** The one that began as the master. */
  readonly master: RedisServer
  readonly replica: RedisServer
  /** Cuts the replica off for good: it keeps what it has, stays up and may be promoted for the next ten seconds. */
  detachReplica(): Promise<void>
  /** The port of the node that the Sentinels call the master now. */
  masterPort(): Promise<number>
  stop(): Promise<void>
}

/** A user of its own for replication, so that it alone can be shut out. */
const NODE_ARGS = words(
  '--user replica on >replica +psync +replconf +ping --masteruser replica --masterauth replica',
  '--repl-diskless-sync-delay 0 --repl-ping-replica-period 1',
)

async function startSentinel(file: string, masterPort: number): Promise<{ port: number; stop(): Promise<void> }> {
  const work = makeWorkDir('sentinel')
  const port = await freePort()
  const configFile = join(work.path, 'sentinel.conf')
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${work.path}`,
    `sentinel monitor ${MASTER} 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER} 5000`,
  ]
  writeFileSync(configFile, `${settings.join('\n')}\n`)
  const args = [configFile, '--sentinel']
  const started = new ServerProcess({ name: 'redis-sentinel', file, args, cwd: work.path, reapSignal: 'KILL' })
  const stop = async (): Promise<void> => {
    await started.kill9()
    work.remove()
  }
  await started.ready(async () => (await ask(port, 'PING\r\n')).startsWith('+PONG'))
  return { port, stop }
}

async function namedBy(sentinelPort: number): Promise<number> {
  const reply = await ask(sentinelPort, `SENTINEL get-master-addr-by-name ${MASTER}\r\n`)
  return Number(reply.split('\r\n')[4] ?? Number.NaN)
}

/** Every Sentinel knows the others and the replica, and the replica has all that the master had. */
async function isComplete(sentinels: readonly { port: number }[], replica: RedisServer): Promise<boolean> {
  if (!(await ask(replica.port, 'INFO replication\r\n')).includes('master_link_status:up')) return false
  for (const { port } of sentinels) {
    if (!(await ask(port, `SENTINEL CKQUORUM ${MASTER}\r\n`)).startsWith(`+OK ${SENTINELS} usable`)) return false
    if (!(await ask(port, `SENTINEL REPLICAS ${MASTER}\r\n`)).startsWith('*1')) return false
  }
  return true
}

/** Starts the servers that a failover takes. Throws `LOCKSTEP_SRV_NOT_FOUND` without a `redis-server` on this machine. */
export async function startSentinels(config: ServersConfig = readServersConfig()): Promise<SentinelServers> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async (): Promise<void> => {
    for (const server of started.splice(0).toReversed()) await server.stop()
  }
  const keep = <T extends { stop(): Promise<void> }>(server: T): T => {
    started.push(server)
    return server
  }
  try {
    const master = keep(await startRedis({ needs: 'process', args: NODE_ARGS }, config))
    const following = ['--replicaof', '127.0.0.1', `${master.port}`]
    const replica = keep(await startRedis({ needs: 'process', args: [...NODE_ARGS, ...following] }, config))
    const file = findBinary('redis-server', config.path)
    if (file === undefined) throw new ServersError('LOCKSTEP_SRV_NOT_FOUND', 'Sentinel needs redis-server on the PATH')
    const sentinels: { port: number; stop(): Promise<void> }[] = []
    for (let index = 0; index < SENTINELS; index++) sentinels.push(keep(await startSentinel(file, master.port)))
    if (!(await pollUntil(() => isComplete(sentinels, replica), READY_WITHIN_MS, 50))) {
      throw new ServersError('LOCKSTEP_SRV_START', `the Sentinels did not find each other; ${replica.log()}`)
    }
    return {
      url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${MASTER}`,
      master,
      replica,
      detachReplica: async () => {
        await ask(master.port, 'ACL SETUSER replica off\r\n')
        await ask(master.port, 'CLIENT KILL TYPE replica\r\n')
      },
      masterPort: () => namedBy(sentinels[0]?.port ?? 0),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
