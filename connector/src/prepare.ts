import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import type { RuleSet } from '@lockstep/schemas'
import type { ConnectorConfig } from './config.ts'
import { fail } from './errors.ts'
import { announce, FAILOVER_STEP, raiseReason } from './generation.ts'
import type { RaiseReason } from './generation.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type { CatalogFacts, Epoch, Reading, ServerIdentity, Snapshots, SourceConnection } from './ports.ts'
import { judgeFacts } from './preflight.ts'

export interface PrepareOptions {
  readonly connection: SourceConnection
  readonly snapshots: Pick<Snapshots, 'take'>
  readonly config: ConnectorConfig
  readonly rules: RuleSet
  readonly log: Pick<EventLog, 'produce'>
  readonly partitions: number
  readonly time: TimeSource
  readonly metrics: ConnectorMetrics
  readonly logger: Logger
  /** True for the first session of a process whose log does not outlive it. */
  readonly isLogEmpty: boolean
  readonly signal: AbortSignal
}

/** A source with publication and slot, before its generation is known. */
export interface PreparedSource {
  readonly identity: ServerIdentity
  readonly primaryKeys: ReadonlyMap<string, readonly string[]>
  /** Why the slot could not go on from where it was, if it could not. */
  readonly gap: 'slot-lost' | 'publication-lost' | undefined
}

/** Where a session begins. */
export interface Beginning {
  readonly generation: number
  readonly first: Reading
}

// Between two looks at transactions that were running when the slot was made.
const RUNNING_POLL_MS = 20

/**
 * Makes the source ready for a stream: checks first, then publication and slot; a temporary slot is made by the stream
 * itself. Whatever fails leaves nothing half done that the next attempt does not find and finish.
 * @throws LockstepError LOCKSTEP_CON_PREFLIGHT (config) listing every fault.
 */
export async function prepareSource(options: PrepareOptions): Promise<PreparedSource> {
  const { connection, rules } = options
  const facts = await connection.catalog.facts([...rules.tables.keys()])
  refuseFaults(facts, options)
  await connection.epochs.create()
  const gap = await prepareSlot(facts, options)
  const primaryKeys = new Map([...facts.tables].map(([table, { primaryKey }]) => [table, primaryKey]))
  return { identity: facts.sql, primaryKeys, gap }
}

/**
 * Settles the generation once the slot exists: after a gap it is raised durably and its flush written to every
 * partition, all before the stream may deliver a change.
 */
export async function begin({ identity, gap }: PreparedSource, options: PrepareOptions): Promise<Beginning> {
  const { connection, config, snapshots, log, partitions, time, logger, metrics, signal } = options
  if (gap !== undefined) await whenRunningEnded(options)
  const stored = await connection.epochs.read()
  const { slot } = config
  const reason = raiseReason({ stored, identity, slot, gap, isLogEmpty: options.isLogEmpty })
  let epoch = stored
  if (reason !== undefined) {
    const step = reason === 'other-primary' ? FAILOVER_STEP : 1
    epoch = await connection.epochs.raise({ ...identity, slot, above: 0, step })
    metrics.raises.inc({ reason })
    logger.info({ generation: epoch.generation, reason }, 'new generation')
  }
  const current = epoch as Epoch
  if (!current.announced) {
    const flush = { reason: reason ?? ('unannounced' satisfies RaiseReason), edge: true }
    const onRejected = (error: unknown): void => logger.warn({ err: error }, 'the log refuses the flush')
    await announce(current.generation, flush, { log, partitions, store: connection.epochs, time, signal, onRejected })
  }
  metrics.epoch.set(current.generation)
  return { generation: current.generation, first: await snapshots.take() }
}

function refuseFaults(facts: CatalogFacts, { rules, config, metrics }: PrepareOptions): void {
  const faults = judgeFacts(facts, rules, config).filter(({ severity }) => severity === 'error')
  if (faults.length === 0) return
  for (const { name } of faults) metrics.preflight.inc({ check: name })
  const lines = faults.map(({ message, remedy }) => (remedy === '' ? message : `${message}: ${remedy}`))
  throw fail('LOCKSTEP_CON_PREFLIGHT', { faults: lines.join('\n  ') })
}

async function prepareSlot(facts: CatalogFacts, options: PrepareOptions): Promise<PreparedSource['gap']> {
  const { connection, rules, config } = options
  const isPublicationLost = facts.publication === undefined
  if (isPublicationLost) await connection.admin.createPublication([...rules.tables.keys()])
  const { slot } = facts
  if (config.temporarySlot) return 'slot-lost'
  if (slot !== undefined && !slot.isLost && !isPublicationLost) return undefined
  // A slot that is older than its publication fails for ever or skips rows, depending on the server's version.
  if (slot !== undefined) await connection.admin.dropSlot()
  await connection.admin.createSlot()
  return slot !== undefined && isPublicationLost ? 'publication-lost' : 'slot-lost'
}

/**
 * Waits until every transaction that ran when the slot was ready has ended. One of them may have written its commit
 * record before the slot begins and still be invisible: the slot will not send it, and readers that load after the
 * flush would keep what was before it.
 */
async function whenRunningEnded({ snapshots, time, signal, logger }: PrepareOptions): Promise<void> {
  const { snapshot } = await snapshots.take()
  if (snapshot.xip.length === 0) return
  let isSaid = false
  while ((await snapshots.take()).snapshot.xmin < snapshot.xmax) {
    if (!isSaid) logger.info({ running: snapshot.xip.length }, 'waiting for running transactions')
    isSaid = true
    await time.sleep(RUNNING_POLL_MS, signal)
  }
}
