import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PURGER_CONFIG, ROLES, startPurger, type RunningPurger } from '@lockstep/cdn-purger'
import { createMemoryLog, loadConfig, silentLogger, TOPICS, type EventLog } from '@lockstep/runtime'
import { encodeEvent, encodeSurrogateKey, parseTag, stampOf, type Clock, type Lsn } from '@lockstep/schemas'

/** The tokens that are let in: the name of the role, as the name of the person. */
const TOKENS = [...ROLES, 'second'].map(
  (name) => `${name}:${name === 'second' ? 'admin' : name}:${createHash('sha256').update(name).digest('hex')}`,
)

/** Callers in a test are not limited. */
const UNLIMITED = { perSecond: 1e6, burst: 1e6 }

/** A purger with a journal in a file, which goes on where it was when it is started again. */
export interface AdminPurger {
  readonly apiUrl: string
  /** Removed by `stop`. */
  readonly directory: string
  readonly journalFile: string
  readonly running: RunningPurger
  /** Sends purge commands, as the invalidator does. */
  send(tags: readonly string[], clock: number): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Starts a purger of `tiers` over a log in memory. */
export async function startAdminPurger(
  tiers: string,
  options: Readonly<Record<string, string>> = {},
): Promise<AdminPurger> {
  const directory = mkdtempSync(join(tmpdir(), 'lockstep-admin-'))
  const journalFile = join(directory, 'journal.db')
  const log = createMemoryLog()
  const config = loadConfig(PURGER_CONFIG, {
    env: {
      LOCKSTEP_PURGER_TIERS: tiers,
      LOCKSTEP_REDIS_URL: '',
      LOCKSTEP_PURGER_VARNISH_TOKEN: 'edge',
      LOCKSTEP_PURGER_FASTLY_TOKEN: 'edge',
      LOCKSTEP_PURGER_JOURNAL_URL: `sqlite:${journalFile}`,
      LOCKSTEP_PURGER_API_PORT: '0',
      LOCKSTEP_PURGER_API_TOKENS: TOKENS.join(),
      LOCKSTEP_REBOUND_MS: '200',
      LOCKSTEP_PURGER_DRAIN_MS: '0',
      ...options,
    },
  })
  const apiLimits = { reads: UNLIMITED, writes: UNLIMITED, failures: UNLIMITED }
  const start = async () => startPurger(config, { log, logger: silentLogger, apiLimits })
  let running = await start()
  return {
    get apiUrl() {
      return `http://127.0.0.1:${running.apiPort}`
    },
    directory,
    journalFile,
    get running() {
      return running
    },
    send: async (tags, clock) => sendPurges(log, tags, clock),
    restart: async () => {
      await running.stop()
      running = await start()
    },
    stop: async () => {
      await running.stop()
      await log.close()
      rmSync(directory, { recursive: true })
    },
  }
}

async function sendPurges(log: EventLog, tags: readonly string[], clock: number): Promise<void> {
  const records = tags.map((text) => {
    const tag = parseTag(text)
    const stamp = stampOf(1, clock.toString(16).padStart(20, '0') as Clock)
    const commitTimeUs = BigInt(Date.now()) * 1_000n
    const command = { kind: 'purge' as const, id: `${tag}@${clock}`, tag, stamp, commitLsn: BigInt(clock) as Lsn }
    return { key: tag, value: encodeEvent({ ...command, commitTimeUs, busId: '', reason: 'test' }) }
  })
  await log.produce(TOPICS.purges, records)
}

/** An origin of numbered objects: `/7` is tagged `product:7` and answers its version. */
export interface VersionedOrigin {
  readonly port: number
  readonly versions: Map<number, number>
  stop(): Promise<void>
}

/** Starts the origin; its objects may be kept for an hour. */
export async function startVersionedOrigin(): Promise<VersionedOrigin> {
  const versions = new Map<number, number>()
  const server = createHttpServer((request, response) => {
    const id = Number(request.url?.slice(1))
    const tags = [`product:${id}`, 'product:*', '*'].map((tag) => encodeSurrogateKey(parseTag(tag))).join(' ')
    response.writeHead(200, { 'cdn-cache-control': 'max-age=3600', 'surrogate-key': tags })
    response.end(String(versions.get(id) ?? 1))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = async () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { port: (server.address() as AddressInfo).port, versions, stop }
}

/** A fixed address whose connections go wherever it is pointed: what readers and purger call the edge. */
export interface EdgeAddress {
  readonly url: string
  pointTo(port: number): void
  stop(): Promise<void>
}

/** Opens the address. */
export async function openEdgeAddress(port: number): Promise<EdgeAddress> {
  let target = port
  const sockets = new Set<Socket>()
  const server = createServer((inner) => {
    const outer = connect(target, '127.0.0.1')
    for (const socket of [inner, outer]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    }
    inner.pipe(outer).pipe(inner)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const hangUp = () => sockets.forEach((socket) => socket.destroy())
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pointTo: (next) => {
      target = next
      hangUp()
    },
    stop: async () => {
      hangUp()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
