import { lockstep, type TestProcess } from '../process.ts'
import { CONTRACT_MS } from './storm.ts'
import { World, type WorldOptions } from './world.ts'

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
    const dev = lockstep('dev', [...world.devArgs(), '--rebound-ms', String(REBOUND_MS), ...devArgs])
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
