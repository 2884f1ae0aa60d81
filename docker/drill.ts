/**
 * Takes parts of the running stack away, one by one, while a load reads, writes and judges every read:
 * `npm run drill -- restarts` (every service in turn, or those that are named behind it), `npm run drill -- brokers` (of three
 * brokers one is killed, then a leader), `npm run drill -- cluster` (the node of a Redis Cluster that everything is on is killed).
 * Prints a line per step and one of JSON; exits 1 where a read was stale or a request failed.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { redisKeys, slotOf } from '@lockstep/schemas'

/** Every service that runs, those that others need last. HAProxy alone is not stopped: it is told to replace its worker. */
export const RESTARTED: readonly string[] = `
  prometheus postgres-standby connector-1 connector-2 invalidator-1 invalidator-2 cdn-purger shop-worker
  api-1 api-2 api-3 balancer edge-1 edge-2 shield-1 shield-2 redis kafka postgres`
  .trim()
  .split(/\s+/)

const BROKERS = ['kafka', 'kafka-2', 'kafka-3'] as const
const LOAD_NAME = 'lockstep-drill-load'
const WARM_UP_MS = 10_000
// Between two steps, so that what failed is told to the step that it belongs to.
const SETTLE_MS = 4_000
const AWAY_MS = 12_000
const READY_WITHIN_MS = 60_000

interface Step {
  readonly what: string
  readonly seconds: number
  readonly failed: number
  readonly oldest: Oldest
}

/** How old the oldest answers were. */
interface Oldest {
  readonly apiMs: number
  readonly edgeMs: number
}

class Stack {
  readonly #options: readonly string[]

  constructor({ files, profiles = [] }: Scenario) {
    this.#options = [
      ...files.flatMap((file) => ['-f', fileURLToPath(new URL(file, import.meta.url))]),
      ...profiles.flatMap((profile) => ['--profile', profile]),
    ]
  }

  args(...args: readonly string[]): string[] {
    return ['compose', '--ansi', 'never', ...this.#options, ...args]
  }

  /** @throws what docker says when it fails. */
  run(...args: readonly string[]): string {
    const done = spawnSync('docker', this.args(...args), { encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`docker compose ${args.join(' ')}: ${done.stderr}`)
    return done.stdout
  }

  async healthy(service: string): Promise<void> {
    const id = this.run('ps', '-q', '--all', service).trim()
    await until(`${service} to be healthy`, () => {
      const state = spawnSync('docker', ['inspect', '-f', '{{.State.Health.Status}}', id], { encoding: 'utf8' })
      return state.stdout.trim() === 'healthy'
    })
  }
}

/** The load as a container of the stack; counts what it says has failed, and keeps the ages that it tells of. */
class LoadRun {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  failed = 0
  #oldest: Oldest = { apiMs: 0, edgeMs: 0 }
  #figures: Record<string, number> | undefined

  constructor(stack: Stack) {
    const settings = {
      SECONDS: 3_600,
      COMMITS: 100,
      READS: 200,
      WRITE_URL: 'http://balancer:3000',
      TELLS: true,
      // Without a pipeline an edge keeps its promise by the lifetime of a response, behind the contract of what it asks.
      EDGE_STALENESS_MS: 65_000,
    }
    const env = Object.entries(settings).flatMap(([name, value]) => ['-e', `LOCKSTEP_LOAD_${name}=${value}`])
    const args = stack.args('run', '--rm', '-T', '--no-deps', '--name', LOAD_NAME, ...env, 'load')
    this.#child = spawn('docker', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#ended = new Promise((resolve) => this.#child.once('close', () => resolve()))
    if (this.#child.stdout) createInterface(this.#child.stdout).on('line', (line) => this.#read(line))
  }

  #read(line: string): void {
    const said = JSON.parse(line) as { msg?: string; path?: string; why?: string } & Partial<Oldest>
    if (said.msg === undefined) this.#figures = said as Record<string, number>
    else if (said.apiMs !== undefined && said.edgeMs !== undefined)
      this.#oldest = {
        apiMs: Math.max(this.#oldest.apiMs, said.apiMs),
        edgeMs: Math.max(this.#oldest.edgeMs, said.edgeMs),
      }
    else {
      this.failed += 1
      print(`    ${said.msg}: ${said.path} ${said.why}`)
    }
  }

  /** The oldest answers since the last question. */
  oldest(): Oldest {
    const oldest = this.#oldest
    this.#oldest = { apiMs: 0, edgeMs: 0 }
    return { apiMs: Math.round(oldest.apiMs), edgeMs: Math.round(oldest.edgeMs) }
  }

  async end(): Promise<Record<string, number>> {
    spawnSync('docker', ['kill', '--signal', 'TERM', LOAD_NAME])
    await this.#ended
    if (!this.#figures) throw new Error('the load ended without its figures')
    return this.#figures
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const endsAt = performance.now() + READY_WITHIN_MS
  while (!isSo()) {
    if (performance.now() > endsAt) throw new Error(`waited ${READY_WITHIN_MS / 1_000} s in vain for ${what}`)
    await pause(250)
  }
}

/** The steps of a scenario: each takes something away and gives it back. */
type Steps = Generator<readonly [what: string, act: () => Promise<void>]>

function* restarts(stack: Stack, named: readonly string[]): Steps {
  for (const service of named.length > 0 ? named : RESTARTED) {
    yield [
      service === 'balancer' ? 'reload balancer' : `restart ${service}`,
      async () => {
        if (service === 'balancer') stack.run('kill', '-s', 'USR2', service)
        else stack.run('restart', service)
        await stack.healthy(service)
      },
    ]
  }
}

function* brokerLoss(stack: Stack): Steps {
  const topics = (broker: string, ...args: readonly string[]): string =>
    stack.run('exec', '-T', broker, '/opt/kafka/bin/kafka-topics.sh', '--bootstrap-server', `${broker}:9092`, ...args)
  const leader = (): (typeof BROKERS)[number] => {
    const [, id] = /Leader: (\d)/.exec(topics('kafka', '--describe', '--topic', 'lockstep.control')) ?? []
    const found = BROKERS[Number(id) - 1]
    if (!found) throw new Error('lockstep.control has no leader')
    return found
  }
  const lose = async (broker: (typeof BROKERS)[number]): Promise<void> => {
    stack.run('kill', '-s', 'KILL', broker)
    await pause(AWAY_MS)
    stack.run('start', broker)
    await stack.healthy(broker)
    await until(
      'every replica to be in sync',
      () => topics(broker, '--describe', '--under-replicated-partitions') === '',
    )
  }
  const replicas = /ReplicationFactor: (\d)/.exec(topics('kafka', '--describe', '--topic', 'lockstep.changes'))?.[1]
  if (replicas !== '3') throw new Error(`lockstep.changes has ${replicas} replicas: begin with \`down -v\``)
  const other = BROKERS.find((broker) => broker !== leader()) ?? 'kafka'
  yield [`kill ${other}`, () => lose(other)]
  const leading = leader()
  yield [`kill ${leading}, which leads`, () => lose(leading)]
}

function* masterLoss(stack: Stack): Steps {
  const slot = slotOf(redisKeys('lockstep').watermark)
  // One line a node: ID ADDRESS,HOSTNAME FLAGS MASTER PING PONG EPOCH STATE SLOTS…
  const owner = (by: string): string | undefined => {
    const nodes = stack.run('exec', '-T', by, 'redis-cli', 'cluster', 'nodes').split('\n')
    const holds = (range: string): boolean => {
      const [from, to = from] = range.split('-').map(Number)
      return Number(from) <= slot && slot <= Number(to)
    }
    return nodes
      .map((line) => line.split(' '))
      .filter(([, , flags = '']) => !flags.includes('fail'))
      .find((node) => node.slice(8).some(holds))?.[1]
      ?.split(',')[1]
  }
  const master = owner('redis-1')
  if (master === undefined) throw new Error(`nobody holds slot ${slot}`)
  const other = master === 'redis-1' ? 'redis-2' : 'redis-1'
  yield [
    `kill ${master}, which holds the namespace`,
    async () => {
      stack.run('kill', '-s', 'KILL', master)
      await until('a replica to take over', () => ![master, undefined].includes(owner(other)))
      await pause(AWAY_MS)
      stack.run('start', master)
      await stack.healthy(master)
    },
  ]
}

interface Scenario {
  readonly files: readonly string[]
  readonly profiles?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly steps: (stack: Stack, named: readonly string[]) => Steps
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  restarts: { files: ['./compose.yaml'], steps: restarts },
  brokers: { files: ['./compose.yaml', './compose.brokers.yaml'], steps: brokerLoss },
  cluster: {
    files: ['./compose.yaml'],
    profiles: ['cluster'],
    env: { LOCKSTEP_REDIS_URL: 'redis+cluster://redis-1:6379,redis-2:6379,redis-3:6379' },
    steps: masterLoss,
  },
}

async function drill(name: string, scenario: Scenario, named: readonly string[]): Promise<void> {
  Object.assign(process.env, scenario.env)
  const stack = new Stack(scenario)
  stack.run('up', '--wait', '--no-build')
  const load = new LoadRun(stack)
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void load.end().then(() => process.exit(1)))
  const done: Step[] = []
  try {
    await pause(WARM_UP_MS)
    for (const [what, act] of scenario.steps(stack, named)) {
      const before = load.failed
      load.oldest()
      const startedAt = performance.now()
      await act()
      const seconds = Number(((performance.now() - startedAt) / 1_000).toFixed(1))
      await pause(SETTLE_MS)
      const failed = load.failed - before
      const oldest = load.oldest()
      done.push({ what, seconds, failed, oldest })
      print(
        `${what}: ${seconds} s, ${failed} failed, oldest of the API ${oldest.apiMs} ms, of the edge ${oldest.edgeMs} ms`,
      )
    }
  } finally {
    const { staleReads = 0, readErrors = 0, writeErrors = 0, ...figures } = await load.end()
    print(JSON.stringify({ drill: name, staleReads, readErrors, writeErrors, ...figures, steps: done }))
    if (staleReads + readErrors + writeErrors > 0) process.exitCode = 1
  }
}

if (import.meta.main) {
  const [name = '', ...named] = process.argv.slice(2)
  const scenario = SCENARIOS[name]
  if (scenario) await drill(name, scenario, named)
  else {
    print(`usage: npm run drill -- ${Object.keys(SCENARIOS).join(' | ')}`)
    process.exitCode = 2
  }
}
