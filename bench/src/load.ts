import { writeFileSync } from 'node:fs'
import manifest from '../package.json' with { type: 'json' }
import { plotOf } from './api/load-plot.ts'
import { offerLoad, type Answers } from './api/open-loop.ts'
import { openApiRig } from './api/rig.ts'
import { atMost, plain, round, type Bench, type Figure } from './bench.ts'

const PRODUCTS = 1_000
const WRITE_EVERY = 20
const MAX_CONNECTIONS = 1_000
// Until the hot paths are compiled and what is popular is cached.
const WARM_SECONDS = 5
const NO_LIMIT = '1000000000'

interface Settings {
  readonly url: string | undefined
  readonly perSecond: number
  readonly seconds: number
  readonly svgFile: string | undefined
}

function settingsOf(env: NodeJS.ProcessEnv): Settings {
  return {
    url: env['LOCKSTEP_BENCH_URL'],
    perSecond: Number(env['LOCKSTEP_BENCH_RATE'] ?? 500),
    seconds: Number(env['LOCKSTEP_BENCH_SECONDS'] ?? 30),
    svgFile: env['LOCKSTEP_BENCH_SVG'],
  }
}

/** Of the products a few get most of the reads; any may be written. */
function request(host: string): (index: number) => string {
  return (index) => {
    if (index % WRITE_EVERY > 0) {
      const popular = Math.floor(PRODUCTS ** Math.random())
      return `GET /products/${popular} HTTP/1.1\r\nhost: ${host}\r\n\r\n`
    }
    const body = JSON.stringify({ priceCents: 100 + Math.floor(Math.random() * 99_900) })
    const head = `host: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`
    return `PUT /products/${1 + Math.floor(Math.random() * PRODUCTS)} HTTP/1.1\r\n${head}\r\n\r\n${body}`
  }
}

function figuresOf(answers: Answers, { perSecond, seconds }: Settings): readonly Figure[] {
  const { offered, good, refused, bad, goodMs } = answers
  return [
    plain('due', perSecond * seconds, 'req'),
    plain('offered', offered, 'req'),
    plain('answered', round(good / seconds, 0), 'req/s'),
    plain('refused', refused, 'req'),
    ...Object.entries(bad).map(([outcome, count]) => plain(`other: ${outcome}`, count, 'req')),
    plain('p50', round(goodMs.p50, 1), 'ms'),
    plain('p99', round(goodMs.p99, 1), 'ms'),
    atMost('notAnswered', offered - good, 'req', 0),
  ]
}

/** A load that does not wait for its answers, second by second. */
export const loadBench: Bench = {
  versions: manifest.devDependencies,
  async run() {
    const settings = settingsOf(process.env)
    const limits = { LOCKSTEP_API_READS_PER_MINUTE: NO_LIMIT, LOCKSTEP_API_WRITES_PER_MINUTE: NO_LIMIT }
    const rig = settings.url === undefined ? await openApiRig(PRODUCTS, limits) : undefined
    try {
      const url = settings.url ?? rig?.url ?? ''
      const { perSecond, seconds, svgFile } = settings
      const offer = { url, request: request(new URL(url).host), perSecond, maxConnections: MAX_CONNECTIONS }
      await offerLoad({ ...offer, seconds: WARM_SECONDS })
      const answers = await offerLoad({ ...offer, seconds })
      console.table(
        answers.bySecond.map(({ goodMs, ...counts }) => ({
          ...counts,
          p50Ms: round(goodMs.p50, 1),
          p99Ms: round(goodMs.p99, 1),
        })),
      )
      if (svgFile !== undefined) writeFileSync(svgFile, plotOf(answers.bySecond, `${perSecond} requests a second`))
      return figuresOf(answers, settings)
    } finally {
      await rig?.close()
    }
  },
}
