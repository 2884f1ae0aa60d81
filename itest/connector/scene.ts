import type { RunningConnector } from '@lockstep/connector'
import {
  createRecordingLog,
  openTestSource,
  startOn,
  type RecordingLog,
  type TestSource,
} from '@lockstep/connector/testing'
import { waitFor } from '@lockstep/runtime/testing'
import { parseRules } from '@lockstep/schemas'
import { startPostgres, type PostgresServer } from '@lockstep/servers'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { createItems, judge, type ItemWriter, type Verdict } from './items.ts'
import { endOfWal, type Received } from './rig.ts'

export const DEADLINE_MS = 30_000

export const ITEM_RULES = parseRules('tables:\n  public.items:\n    - tag: item:{id}\n    - tag: version:{version}\n')

/** A server of its own for the tests of one `describe`. */
export function ownServer(major: 15 | 18, settings: Readonly<Record<string, string>> = {}): () => PostgresServer {
  let server: PostgresServer | undefined
  beforeAll(async () => {
    server = await startPostgres({ major, needs: 'process', settings })
  })
  afterAll(() => server?.stop())
  return () => {
    if (server === undefined) throw new Error('the server was not started')
    return server
  }
}

type StartDeps = NonNullable<Parameters<typeof startOn>[2]>

/** One database with `items`, and a connector of this process on a log that remembers everything. */
export class Scene {
  readonly source: TestSource
  readonly log: RecordingLog = createRecordingLog()
  readonly #running: RunningConnector[] = []

  private constructor(source: TestSource) {
    this.source = source
  }

  static async open(serverUrl: string): Promise<Scene> {
    const source = await openTestSource(serverUrl)
    const scene = new Scene(source)
    onTestFinished(() => scene.#close())
    await createItems(source.client)
    return scene
  }

  get slot(): string {
    return this.source.config.slot
  }

  /** Everything the log has, in order. */
  get received(): readonly Received[] {
    return this.log.events
  }

  async start(deps: StartDeps = {}): Promise<RunningConnector> {
    const connector = await startOn(this.source, this.log, { rules: ITEM_RULES, ...deps })
    this.#running.push(connector)
    return connector
  }

  generations(): number[] {
    return [...new Set(this.log.flushes().map(({ generation }) => generation))]
  }

  has(id: number | string): boolean {
    return this.log.changes().some(({ after }) => after['id'] === String(id))
  }

  async insert(id: number): Promise<void> {
    await this.source.query('insert into items values ($1, 0)', [id])
  }

  /** Waits until a generation after `known` was flushed; answers the reason given. */
  async nextGeneration(known: number): Promise<string> {
    const flush = () => this.log.flushes().findLast(({ generation }) => generation > known)
    await waitFor(() => flush() !== undefined, DEADLINE_MS)
    return flush()?.reason ?? ''
  }

  /** Waits until watermarks vouch for everything that was written so far. */
  async settled(): Promise<void> {
    const end = await endOfWal(this.source.client)
    const from = this.log.events.length
    await waitFor(
      () => this.log.events.slice(from).some(({ event }) => event.kind === 'watermark' && event.lsn >= end),
      DEADLINE_MS,
    )
  }

  /**
   * Lets commits wait for a standby that nobody has: they are delivered, and visible to no one. Those of `source` go on.
   * Answers what lets them end, as the end of the test does.
   */
  async missStandby(): Promise<() => Promise<void>> {
    const { admin, client } = this.source
    const set = async (names: string): Promise<void> => {
      await admin.query(`alter system set synchronous_standby_names = '${names}'`)
      await admin.query('select pg_reload_conf()')
    }
    await client.query('set synchronous_commit = local')
    onTestFinished(() => set(''))
    await set('ghost')
    // It takes effect some time after its reload: from the first commit that hangs on.
    const probe = await this.source.connect()
    const { rows } = await probe.query<{ pid: number }>('select pg_backend_pid() as pid')
    const hang = `select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`
    let hasHung = false
    while (!hasHung) {
      let isDone = false
      const written = probe.query(`select pg_logical_emit_message(true, 'probe', '')`).then(() => (isDone = true))
      await waitFor(
        async () => isDone || (hasHung = (await admin.query(hang, [rows[0]?.pid])).rows.length > 0),
        DEADLINE_MS,
      )
      await written
    }
    return () => set('')
  }

  judge(...writers: readonly ItemWriter[]): Verdict {
    return judge(
      this.received,
      writers.flatMap(({ committed }) => committed),
    )
  }

  async #close(): Promise<void> {
    this.log.hold = undefined
    await Promise.all(this.#running.map((connector) => connector.stop()))
    await this.log.close()
    await this.source.drop()
  }
}
