import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { TOPICS } from '@lockstep/runtime'
import type { EventLog, LogBatch } from '@lockstep/runtime'

/** What the parent sends: a batch of the purge topic. */
export interface ToChild {
  readonly id: number
  readonly batch: Omit<LogBatch, 'commit' | 'rewind'>
}

/** What the child answers: it may have the next batch, or all effects of one are durable. */
export type ToParent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'commit'; readonly id: number }

const CHILD = fileURLToPath(new URL('purger-child.ts', import.meta.url))
const FLAGS = ['-C', 'lockstep-source', '--disable-warning=ExperimentalWarning']

/** A purger process that can be killed, fed from a log of this process. */
export class PurgerProcess {
  readonly #child: ChildProcess
  readonly #subscribed: Promise<{ stop(): Promise<void> }>
  /** Batches that were handed to it and are not committed. */
  readonly #open = new Set<number>()

  constructor(log: EventLog, argument: object) {
    const child = fork(CHILD, [JSON.stringify(argument)], {
      execArgv: FLAGS,
      serialization: 'advanced',
      stdio: 'inherit',
    })
    this.#child = child
    process.once('exit', () => child.kill('SIGKILL'))
    const batches = new Map<number, { readonly batch: LogBatch; readonly taken: () => void }>()
    const ready = Promise.withResolvers<void>()
    const exited = once(child, 'exit')
    child.on('message', (message: ToParent) => {
      if (message.kind === 'ready') return ready.resolve()
      const known = batches.get(message.id)
      if (message.kind === 'taken') return known?.taken()
      this.#open.delete(message.id)
      batches.delete(message.id)
      known?.batch.commit()
    })
    let ids = 0
    const hand = async (batch: LogBatch, signal: AbortSignal): Promise<void> => {
      const { topic, partition, firstOffset, nextOffset, endOffset, records } = batch
      const id = (ids += 1)
      const { promise, resolve } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => resolve(), { once: true })
      batches.set(id, { batch, taken: resolve })
      this.#open.add(id)
      const message: ToChild = { id, batch: { topic, partition, firstOffset, nextOffset, endOffset, records } }
      // One that was killed takes nothing more: `exited` tells. Without a callback the broken pipe were an 'error' of it.
      if (child.connected) child.send(message, () => {})
      await Promise.race([promise, exited])
    }
    this.#subscribed = ready.promise.then(async () => log.consume({ topic: TOPICS.purges, group: 'cdn-purger' }, hand))
  }

  get uncommitted(): number {
    return this.#open.size
  }

  /** Resolves when it consumes. */
  async ready(): Promise<void> {
    await this.#subscribed
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exited
    // What it did not commit is delivered to the next one.
    await (await this.#subscribed).stop()
  }
}
