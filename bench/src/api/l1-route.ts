import { ensureProgram, WRK } from '@lockstep/servers'
import { atLeast, median, plain, round, type Figure } from '../bench.ts'
import { inTurn, ratioOf } from '../cache/rig.ts'
import { openApiRig, statusOf } from './rig.ts'
import { runWrk, type WrkResult } from './wrk.ts'

const PRODUCTS = 1_000
const CONNECTIONS = 64
const SECONDS = 2
const ROUNDS = 5
const PEERS = ['bare', 'layered-loader', 'bentocache', 'cacheable', 'rate-limit'] as const
const OURS = 'lockstep'

/** Products answered from L1 with every header, limit and metric on, beside a bare Fastify route that sends the same bytes. */
export async function measureL1Route(): Promise<readonly Figure[]> {
  const program = await ensureProgram(WRK)
  const rig = await openApiRig(PRODUCTS, { LOCKSTEP_API_READS_PER_MINUTE: '1000000000' })
  try {
    const urls = new Map<string, string>([[OURS, rig.url]])
    for (const name of PEERS) urls.set(name, await rig.startPeer(name, PRODUCTS))
    await mustBeEqual([...urls.values()])
    const runs = new Map<string, WrkResult[]>([...urls.keys()].map((name) => [name, []]))
    const before = await statusOf(rig.adminUrl)
    const contestants = [...urls].map(([name, url]) => {
      const run = async (): Promise<number> => {
        const load = { program, url, connections: CONNECTIONS, seconds: SECONDS, products: PRODUCTS }
        const result = await runWrk(load)
        if (result.failures > 0) throw new Error(`${result.failures} answers of ${name} failed`)
        runs.get(name)?.push(result)
        return result.requestsPerSecond
      }
      return [name, run] as const
    })
    const results = await inTurn(contestants, ROUNDS)
    const after = await statusOf(rig.adminUrl)
    const asked = (runs.get(OURS) ?? []).reduce((sum, { requests }) => sum + requests, 0)
    const p99 = (name: string): number => median((runs.get(name) ?? []).slice(-ROUNDS).map(({ p99Ms }) => p99Ms))
    return [
      ...[...results].map(([name, rates]) => plain(`L1 route: ${name}`, round(median(rates), 0), 'req/s')),
      ...[...results.keys()].map((name) => plain(`L1 route p99: ${name}`, round(p99(name), 2), 'ms')),
      ...PEERS.slice(1).map((name) => plain(`${name} / bare`, round(ratioOf(results, name, 'bare'), 2), 'x')),
      plain('served from L1', round((after.cache.l1Hit - before.cache.l1Hit) / asked, 3), 'share'),
      atLeast('l1RouteRatio', round(ratioOf(results, OURS, 'bare'), 2), 'x', 0.85),
    ]
  } finally {
    await rig.close()
  }
}

/** A contestant that sends other bytes would win or lose by that. */
async function mustBeEqual(urls: readonly string[]): Promise<void> {
  for (const id of [1, PRODUCTS]) {
    const bodies = await Promise.all(urls.map(async (url) => (await fetch(`${url}/products/${id}`)).text()))
    if (new Set(bodies).size > 1)
      throw new Error(`the contestants answer product ${id} differently: ${bodies.join(' ')}`)
  }
}
