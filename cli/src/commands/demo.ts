import { createMetrics, Lifecycle, loadConfig, type ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'
import { giveWay } from '../adapters/give-way.ts'
import { startCommand } from '../demo/child.ts'
import { figuresOf } from '../demo/figures.ts'
import { gather } from '../demo/gather.ts'
import type { LoadOptions, LoadReport } from '../demo/load.ts'
import type { LoadMessage } from '../demo/load-process.ts'
import { startScene, type RunningScene } from '../demo/scene.ts'
import { renderFrame } from '../demo/view.ts'
import { environment } from '../environment.ts'
import { COMMANDS } from '../commands.ts'
import type { Command } from '../help.ts'
import { createHumanLogger } from '../human-log.ts'
import { answersQuestion } from '../service-command.ts'

/** Options of the demo. */
export const DEMO_OPTIONS = {
  for: {
    env: 'LOCKSTEP_DEMO_FOR',
    type: Type.String({ pattern: '^$|^[0-9]+(s|m)$' }),
    default: '',
    desc: 'How long to run, as 20s or 2m; empty until Ctrl-C.',
  },
  json: {
    env: 'LOCKSTEP_DEMO_JSON',
    type: Type.Boolean(),
    default: false,
    desc: 'No terminal view; one JSON line last.',
  },
  commits: {
    env: 'LOCKSTEP_DEMO_COMMITS',
    type: Type.Integer({ minimum: 1 }),
    default: 310,
    unit: '1/s',
    desc: 'Commits.',
  },
  reads: {
    env: 'LOCKSTEP_DEMO_READS',
    type: Type.Integer({ minimum: 1 }),
    default: 3_100,
    unit: '1/s',
    desc: 'Reads.',
  },
  products: {
    env: 'LOCKSTEP_DEMO_PRODUCTS',
    type: Type.Integer({ minimum: 100 }),
    default: 1_000,
    desc: 'Products in the shop.',
  },
  maxStalenessMs: {
    env: 'LOCKSTEP_MAX_STALENESS_MS',
    type: Type.Integer({ minimum: 200 }),
    default: 1_000,
    unit: 'ms',
    desc: 'Contract of L1 and Redis that every read is judged by.',
  },
  edgeTtlSeconds: {
    env: 'LOCKSTEP_EDGE_TTL_SECONDS',
    type: Type.Integer({ minimum: 1 }),
    default: 60,
    unit: 's',
    desc: 'Life of a response at the edge.',
  },
  reboundMs: {
    env: 'LOCKSTEP_REBOUND_MS',
    type: Type.Integer({ minimum: 50 }),
    default: 1_000,
    unit: 'ms',
    desc: 'Second purge.',
  },
} as const satisfies ConfigTable

const CATEGORIES = 100
const FRAME_MS = 500
// Until the hot paths of four Node processes are compiled: V8's threads take 30 % of a core in the first 8 s,
// 14 % in the next and 5 % after 50 (measured). Latencies before that say nothing about the next hours.
const WARM_UP_MS = 8_000
const LONG_MS = 2 ** 31 - 1

function durationMs(text: string): number {
  if (text === '') return LONG_MS
  return Number.parseInt(text, 10) * (text.endsWith('m') ? 60_000 : 1_000)
}

/** `lockstep demo`. */
export const command: Command = {
  async run(argv) {
    if (answersQuestion('demo [--for 20s] [--json]', COMMANDS.demo.summary, DEMO_OPTIONS, argv)) return
    const log = createHumanLogger()
    const lifecycle = new Lifecycle({ log })
    const stops: (() => Promise<void>)[] = []
    const ending = new AbortController()
    let starting: Promise<RunningScene> | undefined
    lifecycle.add({
      name: 'demo',
      async start() {
        const config = loadConfig(DEMO_OPTIONS, { env: environment, argv: argv.filter((word) => word !== '--check') })
        if (argv.includes('--check')) return void lifecycle.stop()
        const progress = (text: string) => process.stderr.write(`${text}\n`)
        const metrics = createMetrics()
        const { signal } = ending
        starting = startScene(
          { ...config, categories: CATEGORIES, apiProcesses: 2, log, metrics, progress, signal },
          stops,
        )
        const scene = await starting
        if (signal.aborted) return
        scene.closed.catch((error: unknown) => lifecycle.fail(error))
        const show = startLoad(scene, config, stops)
        show.closed.catch((error: unknown) => lifecycle.fail(error))
        if (!config.json && process.stdout.isTTY) stops.push(liveView(scene, show))
        void finish(scene, show, config).then(
          () => lifecycle.stop(),
          (error: unknown) => lifecycle.fail(error),
        )
      },
      async stop() {
        // What is being started is not yet among the stops.
        ending.abort()
        await starting?.catch(() => undefined)
        for (const stop of stops.splice(0).toReversed()) await stop()
      },
    })
    await lifecycle.run()
  },
}

interface Show {
  /** Rejects when the load ends unasked. */
  readonly closed: Promise<void>
  readonly report: () => LoadReport | undefined
  /** Ends the load and resolves with its last report. */
  readonly end: () => Promise<void>
}

function startLoad(scene: RunningScene, config: DemoConfig, stops: (() => Promise<void>)[]): Show {
  const options: LoadOptions = {
    databaseUrl: scene.databaseUrl,
    apiUrls: scene.apis.map(({ url }) => url),
    edgeUrl: scene.edge.url,
    products: config.products,
    categories: CATEGORIES,
    commitsPerSecond: config.commits,
    readsPerSecond: config.reads,
    maxStalenessMs: config.maxStalenessMs,
    edgeStalenessMs: config.maxStalenessMs + 2 * config.reboundMs,
  }
  const load = startCommand('demo-load', [JSON.stringify(options)], {})
  stops.push(() => load.stop())
  // The load shares the machine with what it measures, and gives way to it.
  if (load.child.pid !== undefined) giveWay(load.child.pid)
  let report: LoadReport | undefined
  load.child.on('message', (message: LoadMessage) => {
    report = message.report
  })
  return {
    closed: load.closed,
    report: () => report,
    end: async () => {
      load.release()
      load.child.send('stop')
      await new Promise<void>((resolve) => load.child.once('disconnect', resolve))
    },
  }
}

type DemoConfig = ReturnType<typeof loadConfig<typeof DEMO_OPTIONS>>

/** Lets the processes warm up, waits for the end of the run, ends the load and prints the figures. */
async function finish(scene: RunningScene, show: Show, config: DemoConfig): Promise<void> {
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref())
  await pause(WARM_UP_MS)
  const warm = await gather(scene, show.report())
  await pause(durationMs(config.for))
  await show.end()
  const figures = figuresOf(await gather(scene, show.report()), warm)
  process.stdout.write(config.json ? `${JSON.stringify(figures)}\n` : `${JSON.stringify(figures, null, 2)}\n`)
}

/** Redraws the screen twice a second; the result stops it. */
function liveView(scene: RunningScene, show: Show): () => Promise<void> {
  const draw = async () => {
    const figures = figuresOf(await gather(scene, show.report()))
    const { connector, invalidator, purger } = scene.pipeline.status()
    const { phase, generation } = connector as { phase?: string; generation?: number }
    const frame = renderFrame(figures, {
      urls: [
        ['edge', `${scene.edge.url}/products/1   (${scene.edge.name})`],
        ...scene.apis.map(({ url }, index) => [`API ${index + 1}`, `${url}/products/1`] as const),
        ...scene.apis.map(({ adminUrl }, index) => [`status ${index + 1}`, `${adminUrl}/statusz`] as const),
      ],
      stages: [
        ['connector', `${phase ?? 'streaming'}, generation ${generation ?? '?'}`],
        ['invalidator', `watermark ${invalidator.watermarkAgeMs?.toFixed(0) ?? '?'} ms old`],
        ['purger', `${purger?.backlog ?? 0} waiting, ${purger?.rebounds ?? 0} rebounds due`],
      ],
      lastChanges: show.report()?.lastChanges ?? [],
      tryThis: [
        `psql '${scene.databaseUrl}' -c 'update products set price_cents = 1, version = version + 1 where id = 1'`,
        `curl -si ${scene.edge.url}/products/1`,
      ],
    })
    process.stdout.write(`\u001b[H${frame.map((line) => `${line}\u001b[K`).join('\n')}\u001b[J`)
  }
  process.stdout.write('\u001b[2J')
  const timer = setInterval(() => void draw().catch(() => undefined), FRAME_MS)
  return () => {
    clearInterval(timer)
    process.stdout.write('\n')
    return Promise.resolve()
  }
}
