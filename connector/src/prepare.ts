import type { EventLog, Logger, TimeSource } from '@lockstep/runtime'
import type { Lsn, RuleSet } from '@lockstep/schemas'
import { refusalOf } from './check.ts'
import type { ConnectorConfig } from './config.ts'
import { fail } from './errors.ts'
import { announce, FAILOVER_STEP, isBoundedGap, raiseReason } from './generation.ts'
import type { RaiseReason } from './generation.ts'
import { takeOverSlot } from './leadership.ts'
import type { ConnectorMetrics } from './metrics.ts'
import type {
  CatalogFacts,
  Epoch,
  Reading,
  ServerIdentity,
  SlotFacts,
  Snapshots,
  SourceConnection,
  UnsafeSwitches,
} from './ports.ts'
import type { TableFacts } from './source-facts.ts'
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
  readonly unsafe?: UnsafeSwitches | undefined
}

/** A source with publication and slot, and a generation that may not have been announced yet. */
export interface PreparedSource {
  readonly identity: ServerIdentity
  /** Of the tables that rules name. */
  readonly tables: ReadonlyMap<string, TableFacts>
  /** See `Catalog.publicationPrint`. */
  readonly publication: string
  readonly epoch: Epoch
  readonly reason: RaiseReason
  /** Nothing above it may be acknowledged yet, see `EpochStore.reserve`. */
  readonly confirmable: Lsn
}

/** Where a session begins. */
export interface Beginning {
  readonly generation: number
  readonly first: Reading
}

// Between two looks at transactions that were running when the slot was made.
const RUNNING_POLL_MS = 20

/**
 * Makes the source ready for a stream; call it with the lead. First the slot is taken over and everything is checked,
 * then publication and slot are made; a temporary slot is made by the stream itself. Whatever fails leaves nothing half
 * done that the next attempt does not find and finish.
 * @throws LockstepError LOCKSTEP_CON_PREFLIGHT (config) listing every fault.
 */
export async function prepareSource(options: PrepareOptions): Promise<PreparedSource> {
  const { connection, rules, config, metrics, logger } = options
  const { catalog, admin, epochs } = connection
  // Before the slot is judged: a predecessor may still acknowledge.
  if (!config.temporarySlot) await takeOverSlot({ ...options, slot: admin.slot, name: config.slot })
  const facts = await checkedFacts(options)
  if (facts.publication === undefined) await admin.createPublication([...rules.tables.keys()])
  const [identity, publication, stored] = [facts.sql, await catalog.publicationPrint(), await epochs.read()]
  const { gap, isRecreated } = judgeSlot(facts, config, { stored, publication })
  const reason = raiseReason({ stored, identity, slot: config.slot, gap, isLogEmpty: options.isLogEmpty })
  // Raised before the slot is made: a crash in between leaves a generation to announce, never a gap nobody knows of.
  const epoch =
    reason === undefined && stored ? stored : await raise({ identity, publication, reason, stored }, connection, config)
  if (reason !== undefined) {
    metrics.raises.inc({ reason })
    logger.info({ generation: epoch.generation, reason }, 'new generation')
  }
  if (isRecreated && facts.slot !== undefined) await admin.slot.drop()
  if (isRecreated) await admin.slot.create(config.failoverSlot)
  const confirmable = await epochs.reserve()
  return { identity, tables: facts.tables, publication, epoch, reason: reason ?? 'unannounced', confirmable }
}

interface Gap {
  readonly identity: ServerIdentity
  readonly publication: string
  readonly reason: RaiseReason | undefined
  readonly stored: Epoch | undefined
}

/** @throws LockstepError LOCKSTEP_CON_GENERATIONS (transient) when gaps come too often. */
async function raise(
  { identity, publication, reason, stored }: Gap,
  { epochs }: SourceConnection,
  { slot, temporarySlot, maxGenerationsPerHour }: ConnectorConfig,
): Promise<Epoch> {
  const isGap = !temporarySlot && isBoundedGap(reason)
  const count = stored?.recentGaps ?? 0
  if (isGap && count >= maxGenerationsPerHour) throw fail('LOCKSTEP_CON_GENERATIONS', { count, reason: reason ?? '' })
  return epochs.raise({
    ...identity,
    slot,
    publication,
    above: 0,
    step: reason === 'other-primary' ? FAILOVER_STEP : 1,
    isGap,
  })
}

/**
 * Writes the flush of a generation that was not announced, once the slot exists: all before the stream may deliver a
 * change.
 */
export async function begin(prepared: PreparedSource, options: PrepareOptions): Promise<Beginning> {
  const { connection, snapshots, log, partitions, time, logger, metrics, signal } = options
  const { epoch, reason } = prepared
  if (!epoch.announced) {
    await whenRunningEnded(options)
    const onRejected = (error: unknown): void => logger.warn({ err: error }, 'the log refuses the flush')
    const flush = { reason, edge: true }
    await announce(epoch.generation, flush, { log, partitions, store: connection.epochs, time, signal, onRejected })
  }
  metrics.epoch.set(epoch.generation)
  return { generation: epoch.generation, first: await snapshots.take() }
}

/** Reads the catalog. @throws LockstepError LOCKSTEP_CON_PREFLIGHT (config) listing every fault. */
export async function checkedFacts({
  connection,
  rules,
  config,
  metrics,
}: Pick<PrepareOptions, 'connection' | 'rules' | 'config' | 'metrics'>): Promise<CatalogFacts> {
  const facts = await connection.catalog.facts([...rules.tables.keys()])
  const checks = judgeFacts(facts, rules, config)
  for (const { name, severity } of checks) if (severity === 'error') metrics.preflight.inc({ check: name })
  const refusal = refusalOf(checks)
  if (refusal) throw refusal
  return facts
}

interface SlotVerdict {
  /** Why the slot cannot go on from where it is, if it cannot. */
  readonly gap: 'slot-lost' | 'slot-recreated' | 'publication-lost' | undefined
  /** Whether it has to be made, or made anew. */
  readonly isRecreated: boolean
}

function judgeSlot(
  { slot, publication: found }: CatalogFacts,
  { temporarySlot }: ConnectorConfig,
  { stored, publication }: { readonly stored: Epoch | undefined; readonly publication: string },
): SlotVerdict {
  if (temporarySlot) return { gap: 'slot-lost', isRecreated: false }
  if (slot === undefined || slot.isLost) return { gap: 'slot-lost', isRecreated: true }
  const isChanged = stored !== undefined && stored.publication !== publication
  // A slot that is older than its publication fails for ever or skips rows, depending on the server's version.
  const isOlder = found === undefined || (isChanged && oidOf(stored.publication) !== oidOf(publication))
  if (isOlder || isChanged) return { gap: 'publication-lost', isRecreated: isOlder }
  // Used as it is: the flush covers what lies before it.
  return { gap: isAnother(slot, stored) ? 'slot-recreated' : undefined, isRecreated: false }
}

/** Only we acknowledge, and never past the note: a slot above it was made anew under its name, or moved by hand. */
function isAnother({ confirmed }: SlotFacts, stored: Epoch | undefined): boolean {
  if (stored === undefined || stored.confirmable === null || confirmed === null) return false
  return confirmed > stored.confirmable
}

const oidOf = (print: string): string => print.slice(0, print.indexOf(':'))

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
