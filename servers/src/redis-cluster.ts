import { setTimeout as pause } from 'node:timers/promises'
import { readServersConfig, type ServersConfig } from './config.ts'
import { ServersError } from './errors.ts'
import { freePort } from './free-port.ts'
import { startRedis, type RedisServer } from './redis.ts'
import { extended } from './server.ts'
import { ask, pollUntil } from './wait.ts'
import { words } from './words.ts'

const SLOTS = 16_384
const START_TRIES = 3
const MASTERS = 3
/** Short, so that a test need not wait for a failover; a busy machine still answers within it. */
const NODE_TIMEOUT_MS = 1_500
const READY_WITHIN_MS = 30_000
const KEYS_PER_MOVE = 50

/** Three masters of a cluster with a third of the slots each, and a replica of the first, as processes of this machine. */
export interface ClusterServers {
  /** As the configuration of every service takes it. */
  readonly url: string
  readonly masters: readonly RedisServer[]
  /** Of the first master, which holds the lowest slots. */
  readonly replica: RedisServer
  /** Cuts the replica off for good: it keeps what it has, stays up and may be promoted. */
  detachReplica(): Promise<void>
  /** Port of the node that holds a slot, as the last master sees it. */
  ownerOf(slot: number): Promise<number>
  /** Moves a slot with its keys from the first master to another one while the cluster serves; waits half-way. */
  moveSlot(slot: number, to: RedisServer, halfWayMs: number): Promise<void>
  stop(): Promise<void>
}

interface Node extends RedisServer {
  readonly busPort: number
}

function nodeArgs(busPort: number): string[] {
  return words(
    `--cluster-enabled yes --cluster-config-file nodes.conf --cluster-port ${busPort}`,
    // However long the replica has been cut off, it may be promoted.
    `--cluster-node-timeout ${NODE_TIMEOUT_MS} --cluster-replica-validity-factor 0`,
    // A user of its own for replication, so that it alone can be shut out.
    '--user replica on >replica +psync +replconf +ping --masteruser replica --masterauth replica',
    '--repl-diskless-sync-delay 0 --repl-ping-replica-period 1',
  )
}

async function startNode(config: ServersConfig): Promise<Node> {
  for (let tries = 1; ; tries++) {
    const busPort = await freePort()
    try {
      return extended(await startRedis({ needs: 'process', args: nodeArgs(busPort) }, config), { busPort })
    } catch (error) {
      // Another test took one of the two ports between choice and use.
      if (tries === START_TRIES || !String(error).includes('Address already in use')) throw error
    }
  }
}

/** Sends one command; answers the lines of its reply without their prefixes. @throws what the server refused with. */
async function command(node: RedisServer, text: string): Promise<string[]> {
  const reply = await ask(node.port, `${text}\r\n`)
  if (reply === '' || reply.startsWith('-')) throw new Error(`${text.slice(0, 60)}: ${reply.trim() || 'no answer'}`)
  return reply.split('\r\n').flatMap((line) => (line === '' || /^[*$]/.test(line) ? [] : [line.replace(/^[+:]/, '')]))
}

async function idOf(node: RedisServer): Promise<string> {
  return (await command(node, 'CLUSTER MYID'))[0] ?? ''
}

async function join(masters: readonly Node[], replica: Node): Promise<void> {
  const [first, ...others] = masters
  if (!first) return
  for (const [index, node] of masters.entries()) {
    const bound = (at: number): number => Math.ceil((at * SLOTS) / MASTERS)
    await command(node, `CLUSTER SET-CONFIG-EPOCH ${index + 1}`)
    await command(node, `CLUSTER ADDSLOTSRANGE ${bound(index)} ${bound(index + 1) - 1}`)
  }
  for (const { port, busPort } of [...others, replica])
    await command(first, `CLUSTER MEET 127.0.0.1 ${port} ${busPort}`)
  const id = await idOf(first)
  const isKnown = async () => (await ask(replica.port, 'CLUSTER NODES\r\n')).includes(`${id} 127.0.0.1`)
  await pollUntil(isKnown, READY_WITHIN_MS, 50)
  await command(replica, `CLUSTER REPLICATE ${id}`)
}

async function isComplete(masters: readonly Node[], replica: Node): Promise<boolean> {
  for (const node of masters) {
    const info = await ask(node.port, 'CLUSTER INFO\r\n')
    if (!info.includes('cluster_state:ok') || !info.includes(`cluster_known_nodes:${MASTERS + 1}`)) return false
  }
  return (await ask(replica.port, 'INFO replication\r\n')).includes('master_link_status:up')
}

async function moveSlot(slot: number, nodes: { from: Node; to: RedisServer; all: readonly Node[] }, halfWayMs: number) {
  const { from, to, all } = nodes
  await command(to, `CLUSTER SETSLOT ${slot} IMPORTING ${await idOf(from)}`)
  await command(from, `CLUSTER SETSLOT ${slot} MIGRATING ${await idOf(to)}`)
  const total = Number((await command(from, `CLUSTER COUNTKEYSINSLOT ${slot}`))[0])
  let hasPaused = false
  for (let moved = 0; ;) {
    const keys = await command(from, `CLUSTER GETKEYSINSLOT ${slot} ${KEYS_PER_MOVE}`)
    if (keys.length === 0) break
    await command(from, `MIGRATE 127.0.0.1 ${to.port} "" 0 5000 KEYS ${keys.join(' ')}`)
    moved += keys.length
    if (!hasPaused && moved >= total / 2) await pause(halfWayMs)
    hasPaused ||= moved >= total / 2
  }
  const owner = await idOf(to)
  for (const node of [to, from, ...all]) await command(node, `CLUSTER SETSLOT ${slot} NODE ${owner}`)
}

async function ownerOf(node: RedisServer, slot: number): Promise<number> {
  for (const line of (await ask(node.port, 'CLUSTER NODES\r\n')).split('\n')) {
    const [, address = '', flags = '', , , , , , ...ranges] = line.trim().split(' ')
    const holds = ranges.some((range) => {
      const [low, high = low] = range.split('-').map(Number)
      return slot >= (low ?? Number.NaN) && slot <= (high ?? Number.NaN)
    })
    if (holds && !flags.includes('fail')) return Number(/:(\d+)@/.exec(address)?.[1])
  }
  return Number.NaN
}

/** Starts the servers of a cluster. Throws `LOCKSTEP_SRV_NOT_FOUND` without a `redis-server` on this machine. */
export async function startRedisCluster(config: ServersConfig = readServersConfig()): Promise<ClusterServers> {
  const nodes: Node[] = []
  const stop = async (): Promise<void> => {
    for (const node of nodes.splice(0)) await node.stop()
  }
  try {
    for (let index = 0; index <= MASTERS; index++) nodes.push(await startNode(config))
    const masters = nodes.slice(0, MASTERS)
    const [first, , last] = masters
    const replica = nodes[MASTERS]
    if (!first || !last || !replica) throw new Error('a cluster has three masters and a replica')
    await join(masters, replica)
    if (!(await pollUntil(() => isComplete(masters, replica), READY_WITHIN_MS, 50))) {
      throw new ServersError('LOCKSTEP_SRV_START', `the nodes did not become a cluster; ${first.log().slice(-2_000)}`)
    }
    return {
      url: `redis+cluster://${masters.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
      masters,
      replica,
      detachReplica: async () => {
        await command(first, 'ACL SETUSER replica off')
        await command(first, 'CLIENT KILL TYPE replica')
      },
      ownerOf: (slot) => ownerOf(last, slot),
      moveSlot: (slot, to, halfWayMs) => moveSlot(slot, { from: first, to, all: masters }, halfWayMs),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
