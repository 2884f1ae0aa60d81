import { createServer } from 'node:http'
import { createMemoryLog, createMetrics, loadConfig, silentLogger, systemTime, TOPICS } from '@lockstep/runtime'
import { edgeVcl, PURGER_CONFIG, startPurger } from '@lockstep/cdn-purger'
import { encodeEvent, parseTag, stampOf, type Clock, type Lsn } from '@lockstep/schemas'
import { startVarnish } from '@lockstep/servers'

const TOKEN = 'bench'
const CHUNK = 20_000
// A probe of every thousandth key tells that purges were real.
const PROBE_EVERY = 1_000

/** What a drain brought. */
export interface Drain {
  readonly keysPerSecond: number
  /** Of this process. */
  readonly cpuSecondsPerMillion: number
  /** Probed objects that were not evicted. */
  readonly left: number
}

/** Encodes the command that the invalidator would send for one tag. */
export function purgeRecord(tag: string, clock: number) {
  const value = encodeEvent({
    kind: 'purge',
    id: `bench-${clock}`,
    tag: parseTag(tag),
    stamp: stampOf(1, clock.toString(16).padStart(20, '0') as Clock),
    commitLsn: BigInt(clock) as Lsn,
    commitTimeUs: BigInt(Date.now()) * 1_000n,
    busId: '',
    reason: 'bench',
  })
  return { key: tag, value }
}

/** Queues `keys` distinct keys, then starts a purger on them and times it until the Varnish has purged every one. */
export async function measureDrain(keys: number): Promise<Drain> {
  const origin = await startTaggedOrigin()
  const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort: origin.port })
  const varnish = await startVarnish({ vcl, env: { LOCKSTEP_PURGE_TOKEN: TOKEN } })
  const log = createMemoryLog({ maxBacklog: keys + 1 })
  try {
    const probes = Array.from({ length: Math.floor(keys / PROBE_EVERY) }, (_, index) => index * PROBE_EVERY)
    for (const probe of probes) await (await fetch(`${varnish.url}/${probe}`)).text()
    for (let from = 0; from < keys; from += CHUNK) {
      const count = Math.min(CHUNK, keys - from)
      await log.produce(
        TOPICS.purges,
        Array.from({ length: count }, (_, index) => purgeRecord(`product:${from + index}`, from + index + 1)),
      )
    }
    const env = {
      LOCKSTEP_REDIS_URL: '',
      LOCKSTEP_PURGER_TIERS: `varnish+${varnish.url}`,
      LOCKSTEP_PURGER_VARNISH_TOKEN: TOKEN,
      // The second purges come after what is measured.
      LOCKSTEP_REBOUND_MS: '60000',
      LOCKSTEP_PURGER_DRAIN_MS: '0',
      // As docs/cdn-providers.md advises for tiers that are as fast as they answer.
      LOCKSTEP_PURGER_MAX_BACKLOG_KEYS: '20000',
    }
    const startedMs = performance.now()
    const cpuBefore = process.cpuUsage()
    const purger = await startPurger(loadConfig(PURGER_CONFIG, { env }), {
      log,
      logger: silentLogger,
      metrics: createMetrics(),
    })
    while (purger.status().commitToEdge.count < keys) await systemTime.sleep(50)
    const seconds = (performance.now() - startedMs) / 1_000
    const cpu = process.cpuUsage(cpuBefore)
    let left = 0
    for (const probe of probes) {
      const response = await fetch(`${varnish.url}/${probe}`)
      await response.text()
      if (response.headers.get('x-cache') !== 'MISS') left += 1
    }
    await purger.stop()
    const cpuSeconds = (cpu.user + cpu.system) / 1e6
    return { keysPerSecond: keys / seconds, cpuSecondsPerMillion: (cpuSeconds * 1e6) / keys, left }
  } finally {
    await log.close()
    await varnish.stop()
    await origin.stop()
  }
}

/** An origin whose every page carries the key of its number. */
async function startTaggedOrigin(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const server = createServer((request, response) => {
    const headers = { 'cdn-cache-control': 'max-age=600', 'surrogate-key': `product.${(request.url ?? '/').slice(1)}` }
    response.writeHead(200, headers).end('x')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    stop: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}
