import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { edgeVcl } from '@lockstep/cdn-purger'
import {
  freePort,
  pollUntil,
  startPostgres,
  startPrometheus,
  startRedis,
  startVarnish,
  type PrometheusServer,
} from '@lockstep/servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lockstep, TestProcess } from '../process.ts'

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[]
}

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const TOKEN = 'dashboards-edge-token'
const TOKEN_VARIABLE = 'LOCKSTEP_PURGE_TOKEN'
const PRODUCTS = 50
// Four scrapes: what a rate needs, and some to spare.
const RATE_WINDOW = '5s'
const DEADLINE_MS = 60_000

const queries = globSync('*.json', { cwd: at('deploy/grafana/dashboards') }).flatMap((file) =>
  (JSON.parse(readFileSync(at(`deploy/grafana/dashboards/${file}`), 'utf8')) as Dashboard).panels.flatMap(
    ({ title, targets }) =>
      targets.map(({ expr }) => ({
        name: `${file}: ${title}: ${expr}`,
        expr: expr.replaceAll('$__rate_interval', RATE_WINDOW),
      })),
  ),
)

const stops: (() => Promise<unknown>)[] = []
let prometheus: PrometheusServer
let api: string
let edge: string

/** One process is connector, invalidator and purger here; it is scraped as each of them. */
const configuration = (pipelinePort: number, apiPort: number): string => `
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [${at('deploy/prometheus/rules/lockstep.yaml')}]
scrape_configs:
${['connector', 'invalidator', 'cdn-purger', 'api']
  .map((job) => {
    const port = job === 'api' ? apiPort : pipelinePort
    return `  - { job_name: ${job}, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }`
  })
  .join('\n')}
`

beforeAll(async () => {
  const postgres = await startPostgres({ major: 'any', needs: 'process', settings: { max_slot_wal_keep_size: '1GB' } })
  stops.push(() => postgres.stop())
  const redis = await startRedis({ needs: 'process' })
  stops.push(() => redis.stop())
  const seed = new TestProcess('seed', at('docker/seed.ts'), [], { LOCKSTEP_API_DATABASE_URL: postgres.url }).start()
  await once(seed.child, 'exit')
  const [apiPort, apiAdminPort, adminPort] = await Promise.all([freePort(), freePort(), freePort()])
  api = `http://127.0.0.1:${apiPort}`
  const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort: apiPort, tokenEnv: TOKEN_VARIABLE })
  const shared = { LOCKSTEP_REDIS_URL: redis.url, LOCKSTEP_NAMESPACE: 'dashboards' }
  const server = lockstep('api', [], {
    ...shared,
    LOCKSTEP_API_DATABASE_URL: postgres.url,
    LOCKSTEP_API_PORT: String(apiPort),
    LOCKSTEP_API_ADMIN_PORT: String(apiAdminPort),
  }).start()
  stops.push(() => server.stop())
  await untilReady(`http://127.0.0.1:${apiAdminPort}/readyz`, server)
  const varnish = await startVarnish({ vcl, env: { [TOKEN_VARIABLE]: TOKEN }, needs: 'process' })
  stops.push(() => varnish.stop())
  edge = varnish.url
  const pipeline = lockstep('dev', ['--database-url', postgres.url, '--rules', at('api/lockstep.rules.yaml')], {
    ...shared,
    LOCKSTEP_REBOUND_MS: '500',
    LOCKSTEP_PURGER_TIERS: `varnish+${varnish.url}`,
    LOCKSTEP_EDGE_TOKEN: TOKEN,
    LOCKSTEP_ADMIN_PORT: String(adminPort),
  }).start()
  stops.push(() => pipeline.stop())
  await pipeline.says('In step with')
  prometheus = await startPrometheus(configuration(adminPort, apiAdminPort))
  stops.push(() => prometheus.stop())
})

afterAll(async () => {
  for (const stop of stops.toReversed()) await stop()
})

/** Waits until a process says that it is ready. @throws Error with its output when it does not. */
async function untilReady(url: string, { output }: TestProcess): Promise<void> {
  const isReady = () =>
    fetch(url).then(
      ({ ok }) => ok,
      () => false,
    )
  if (!(await pollUntil(isReady, DEADLINE_MS))) throw new Error(`${url} is not ready: ${output}`)
}

/** Some writes, and reads through the edge and past it: a part of every second's ordinary work. */
async function useTheShop(turn: number): Promise<void> {
  const id = 1 + (turn % PRODUCTS)
  const write = fetch(`${api}/products/${id}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ priceCents: 100 + turn }),
  })
  const reads = [1, 2, 3].flatMap((step) => [`${edge}/products/${id + step}`, `${api}/products/${id + step}`])
  await Promise.all([write, ...[...reads, ...reads].map(async (url) => (await fetch(url)).text())])
}

async function ask<T>(path: string): Promise<T> {
  const response = await fetch(`${prometheus.url}/api/v1/${path}`)
  const { status, error, data } = (await response.json()) as { status: string; error?: string; data: T }
  if (status !== 'success') throw new Error(error)
  return data
}

const hasData = async (expr: string): Promise<boolean> => {
  const { result } = await ask<{ result: { value: [number, string] }[] }>(`query?query=${encodeURIComponent(expr)}`)
  return result.some(({ value: [, value] }) => value !== 'NaN')
}

async function withoutData(): Promise<string[]> {
  const answers = await Promise.all(queries.map(async ({ name, expr }) => ((await hasData(expr)) ? [] : [name])))
  return answers.flat()
}

describe('deploy/grafana', () => {
  test('every query of every panel returns data on a running pipeline', async () => {
    const deadline = performance.now() + DEADLINE_MS
    let empty: string[] = []
    for (let turn = 0; performance.now() < deadline; turn++) {
      await useTheShop(turn)
      if (turn % 20 !== 19) continue
      empty = await withoutData()
      if (empty.length === 0) break
    }
    expect(queries.length).toBeGreaterThan(50)
    expect(empty).toEqual([])
  })

  test('a query of a metric that is not there returns none', async () => {
    expect(await hasData('sum(rate(lockstep_no_such_total[5s]))')).toBe(false)
  })

  test('Prometheus evaluates every rule without an error', async () => {
    const { groups } = await ask<{ groups: { rules: { name: string; health: string }[] }[] }>('rules')
    const rules = groups.flatMap((group) => group.rules)
    expect(rules.length).toBeGreaterThan(40)
    expect(rules.filter(({ health }) => health === 'err')).toEqual([])
  })
})
