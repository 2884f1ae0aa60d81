import { execFileSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import manifest from '../package.json' with { type: 'json' }
import { offerLoad, type Answers } from './api/open-loop.ts'
import { openApiRig, type ApiRig } from './api/rig.ts'
import { openSlowLink, type SlowLink } from './api/slow-link.ts'
import { atLeast, atMost, plain, round, type Bench, type Figure } from './bench.ts'

const PRODUCTS = 1_000
// What a statement takes in a shop that is busy. It makes the database what is short, as it is there, and not this machine:
// with 10 ms, ten times of the peak were 13,000 requests a second, which took both cores of a machine of two.
const STATEMENT_MS = 20
const FACTOR = 10
const WARM_SECONDS = 4
const PEAK_SECONDS = 8
const OVERLOAD_SECONDS = 60
const RECOVERY_SECONDS = 10
// More than can be under way at the database at once, so that it is never idle.
const PEAK_CONNECTIONS = 64
const MAX_CONNECTIONS = 4_000
const CACHED_PER_SECOND = 100
const NO_LIMIT = '1000000000'

const NO_BODY = '\r\n\r\n'
const BODY = '{"priceCents":100}'
const PUT = `host: shop\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`

/** Of ten requests five search for what nobody has searched for, four are personal, one writes: no layer can answer any. */
function uncachedFor(token: string): (index: number) => string {
  let searches = 0
  return (index) => {
    const kind = index % 10
    if (kind === 9) return `PUT /products/${(index % PRODUCTS) + 1} HTTP/1.1\r\n${PUT}`
    if (kind % 2 === 0) return `GET /search?q=word${(searches += 1)} HTTP/1.1\r\nhost: shop${NO_BODY}`
    return `GET /me/recent HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer ${token}${NO_BODY}`
  }
}

/** Makes an account and logs in. */
async function logIn(url: string): Promise<string> {
  const body = JSON.stringify({ name: 'somebody', password: 'the password of a benchmark' })
  const post = (path: string): Promise<Response> =>
    fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  await post('/accounts')
  return ((await (await post('/login')).json()) as { token: string }).token
}

const cached = (index: number): string =>
  `GET /categories/${(index % 10) + 1}/products HTTP/1.1\r\nhost: shop${NO_BODY}`

/** Gives the API a core of its own; everything else, this process included, shares the other. */
function pinnedApi(): readonly string[] {
  if (availableParallelism() < 2) return []
  execFileSync('taskset', ['-acp', '1', `${process.pid}`], { stdio: 'ignore' })
  return ['taskset', '-c', '0']
}

const perSecond = (count: number, seconds: number): number => round(count / seconds, 0)
const badOf = (...all: readonly Answers[]): number =>
  all.reduce((sum, { bad }) => sum + Object.values(bad).reduce((one, other) => one + other, 0), 0)

/** CPU time of the process so far, s. */
async function cpuSecondsOf(adminUrl: string): Promise<number> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(/^process_cpu_seconds_total ([\d.]+)/m.exec(metrics)?.[1])
}

async function measure({ url, adminUrl }: ApiRig): Promise<readonly Figure[]> {
  const offer = { url, request: uncachedFor(await logIn(url)), maxConnections: MAX_CONNECTIONS }
  const closed = { ...offer, perSecond: Infinity, maxConnections: PEAK_CONNECTIONS }
  const cachedOffer = { url, request: cached, perSecond: CACHED_PER_SECOND, maxConnections: 100 }
  await offerLoad({ ...cachedOffer, seconds: 1 })
  await offerLoad({ ...closed, seconds: WARM_SECONDS })
  const peak = await offerLoad({ ...closed, seconds: PEAK_SECONDS })
  const peakRate = peak.good / PEAK_SECONDS
  const cpuBefore = await cpuSecondsOf(adminUrl)
  const generatorBefore = process.cpuUsage()
  const [flood, hits] = await Promise.all([
    offerLoad({ ...offer, perSecond: peakRate * FACTOR, seconds: OVERLOAD_SECONDS }),
    offerLoad({ ...cachedOffer, seconds: OVERLOAD_SECONDS }),
  ])
  const { user, system } = process.cpuUsage(generatorBefore)
  const cpuSeconds = (await cpuSecondsOf(adminUrl)) - cpuBefore
  const after = await offerLoad({ ...offer, perSecond: peakRate / 2, seconds: RECOVERY_SECONDS })
  return [
    plain('peak', perSecond(peak.good, PEAK_SECONDS), 'req/s'),
    plain('offered', perSecond(flood.offered, OVERLOAD_SECONDS), 'req/s'),
    plain('goodput', perSecond(flood.good, OVERLOAD_SECONDS), 'req/s'),
    plain('refused', perSecond(flood.refused, OVERLOAD_SECONDS), 'req/s'),
    plain('CPU of the API', round(cpuSeconds, 1), 's'),
    plain('CPU of the generator', round((user + system) / 1e6, 1), 's'),
    ...Object.entries(flood.bad).map(([outcome, count]) => plain(`other: ${outcome}`, count, 'req')),
    plain('served p50', round(flood.goodMs.p50, 0), 'ms'),
    plain('served p99', round(flood.goodMs.p99, 0), 'ms'),
    plain('refused p50', round(flood.refusedMs.p50, 1), 'ms'),
    plain('refused p99', round(flood.refusedMs.p99, 0), 'ms'),
    plain('cached p99', round(hits.goodMs.p99, 0), 'ms'),
    atLeast('cachedServed', round(hits.good / hits.offered, 4), 'share', 1),
    atLeast('offeredFactor', round(flood.offered / OVERLOAD_SECONDS / peakRate, 2), 'x', FACTOR * 0.95),
    atLeast('goodputShare', round(flood.good / OVERLOAD_SECONDS / peakRate, 3), 'share', 0.9),
    atMost('otherAnswers', badOf(flood, hits, after), 'req', 0),
    atMost('recoverySeconds', round(after.lastNotGoodAt, 2), 's', 5),
  ]
}

/** Ten times of what one replica can have answered by its database, for a minute. */
export const overloadBench: Bench = {
  versions: manifest.devDependencies,
  async run() {
    const runner = pinnedApi()
    let link: SlowLink | undefined
    const rig = await openApiRig(
      PRODUCTS,
      { LOCKSTEP_API_READS_PER_MINUTE: NO_LIMIT, LOCKSTEP_API_WRITES_PER_MINUTE: NO_LIMIT },
      { runner, reach: async (url) => (link = await openSlowLink(url, STATEMENT_MS)).url },
    )
    try {
      return await measure(rig)
    } finally {
      await rig.close()
      await link?.close()
    }
  },
}
