import { PURGER_CONFIG, startPurger } from '@lockstep/cdn-purger'
import { loadConfig, silentLogger } from '@lockstep/runtime'
import type { BatchHandler, EventLog, Subscription } from '@lockstep/runtime'
import type { ToChild, ToParent } from './log-over-ipc.ts'

/** A purger on a log that lives in the parent, and so survives it. Argument: JSON of its environment and `unsafe`. */
const { env, unsafe } = JSON.parse(process.argv[2] ?? '{}') as {
  env: Record<string, string>
  unsafe?: { skipCatchUp?: boolean }
}
const send = (message: ToParent): void => void process.send?.(message)

async function consume(onBatch: BatchHandler): Promise<Subscription> {
  const stopping = new AbortController()
  process.on('message', ({ id, batch }: ToChild) => {
    const commit = () => send({ kind: 'commit', id })
    const rewind = () => undefined
    // On its way a Buffer became an array of bytes.
    const records = batch.records.map((record) => ({ ...record, value: Buffer.from(record.value) }))
    void onBatch({ ...batch, records, commit, rewind }, stopping.signal).then(() => send({ kind: 'taken', id }))
  })
  send({ kind: 'ready' })
  const stop = async () => Promise.resolve(stopping.abort())
  return Promise.resolve({ closed: new Promise<void>(() => undefined), stop })
}

const log: EventLog = {
  produce: async () => Promise.resolve(),
  consume: async (_, onBatch) => consume(onBatch),
  partitionCount: async () => Promise.resolve(1),
  close: async () => Promise.resolve(),
}
const purger = await startPurger(loadConfig(PURGER_CONFIG, { env }), { log, logger: silentLogger, unsafe })
process.once('SIGTERM', () => void purger.stop().then(() => process.exit(0)))
