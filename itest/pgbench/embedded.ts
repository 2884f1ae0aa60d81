import { lockstep, type TestProcess } from '../process.ts'
import { CONTRACT_MS } from './storm.ts'
import { EDGE_TOKEN, RULES_FILE, World, type WorldOptions } from './world.ts'

const REBOUND_MS = 1_000

/** The README's recipe: `pgbench -i`, `lockstep dev`, two processes reading through the cache. */
export class EmbeddedRun {
  readonly world: World
  readonly dev: TestProcess

  private constructor(world: World, dev: TestProcess) {
    this.world = world
    this.dev = dev
  }

  /** Resolves once every reader reads. */
  static async start(options: Partial<WorldOptions>, devArgs: readonly string[] = []): Promise<EmbeddedRun> {
    const world = await World.create({
      major: 18,
      scale: 1,
      namespace: 'pgbench',
      maxStalenessMs: CONTRACT_MS,
      ...options,
    })
    const flags = {
      '--database-url': world.postgres.url,
      '--rules': RULES_FILE,
      '--redis-url': world.redis.url,
      '--namespace': world.options.namespace,
      '--tiers': `varnish+${world.edge.url}`,
      '--edge-token': EDGE_TOKEN,
      '--max-staleness-ms': String(CONTRACT_MS),
      '--rebound-ms': String(REBOUND_MS),
      '--admin-port': '0',
      '--api-port': '0',
    }
    const dev = lockstep('dev', [...Object.entries(flags).flat(), ...devArgs])
    const run = new EmbeddedRun(world, dev)
    try {
      await world.history.begin()
      await dev.start().says('In step with')
      await world.startReaders()
    } catch (error) {
      await run.stop()
      throw error
    }
    return run
  }

  async stop(): Promise<void> {
    await this.dev.stop('SIGKILL')
    await this.world.stop()
  }
}
