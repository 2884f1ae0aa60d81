import { advice, found, ok, sql } from './check.ts'
import type { Check, PreflightConfig, Remedy } from './check.ts'
import type { CatalogFacts, SlotFacts } from './ports.ts'
import { applicationNameOf } from './config.ts'
import { hasSender, setting } from './preflight-server.ts'
import { quoteText } from './quote.ts'

const FAILOVER_SLOTS = 17_00_00
const MAX_NAME = 63
// Room for the next one too.
const SPARE = 4

/** Judges the slot, and where there is none, the room for one. */
export function slotChecks(facts: CatalogFacts, config: PreflightConfig): Check[] {
  const { slot } = facts
  const checks =
    slot === undefined
      ? [missingCheck(facts, config), freeSlotCheck(facts)]
      : [slotCheck(slot, facts, config), ...failoverCheck(facts, config)]
  return [...checks, freeSenderCheck(facts)]
}

function missingCheck(facts: CatalogFacts, config: PreflightConfig): Check {
  if (config.createSlot) return ok('slot', 'the slot will be created')
  const remedy = sql(createSlot(config, facts), '-- or set LOCKSTEP_CONNECTOR_CREATE_SLOT=true')
  return found('slot', 'error', `the slot ${config.slot} does not exist`, remedy)
}

/** Makes the slot by hand, as the connector would. */
export function createSlot({ slot, failoverSlot }: PreflightConfig, { serverVersion }: CatalogFacts): string {
  const failover = failoverSlot && serverVersion >= FAILOVER_SLOTS ? ', failover => true' : ''
  return `SELECT pg_create_logical_replication_slot(${quoteText(slot)}, 'pgoutput'${failover});`
}

function freeSlotCheck(facts: CatalogFacts): Check {
  const { freeSlots } = facts
  if (freeSlots > 0) return ok('free-slot', `${freeSlots} replication slots are free`)
  return found('free-slot', 'error', 'no replication slot is free', more(facts, 'max_replication_slots'))
}

function freeSenderCheck(facts: CatalogFacts): Check {
  if (hasSender(facts)) return ok('free-sender', `${facts.freeSenders} WAL senders are free`)
  return found('free-sender', 'error', 'no WAL sender is free', more(facts, 'max_wal_senders'))
}

const more = (facts: CatalogFacts, name: 'max_replication_slots' | 'max_wal_senders'): Remedy =>
  setting(facts, name, String(Number(facts.server.settings[name]) + SPARE), true)

function slotCheck(slot: SlotFacts, facts: CatalogFacts, config: PreflightConfig): Check {
  const { database } = facts
  const name = 'slot'
  const other = advice(
    `LOCKSTEP_CONNECTOR_SLOT=${`${config.slot}_${database.replaceAll(/[^a-z0-9_]/g, '_')}`.slice(0, MAX_NAME)}`,
  )
  const drop = `SELECT pg_drop_replication_slot(${quoteText(config.slot)});`
  const anew = config.createSlot
    ? sql(`${drop} -- the connector makes it anew and flushes every layer`)
    : sql(drop, `${createSlot(config, facts)} -- every layer is flushed`)
  const fault = (message: string, remedy: Remedy) => found(name, 'error', message, remedy)
  if (slot.isTemporary) return fault(`the slot ${config.slot} is a temporary one of another session`, other)
  if (slot.plugin !== 'pgoutput') return fault(`the slot ${config.slot} uses ${slot.plugin}`, other)
  if (slot.database !== database)
    return fault(`the slot ${config.slot} belongs to the database ${slot.database}`, other)
  if (slot.isTwoPhase) return fault(`the slot ${config.slot} sends transactions before they commit (two_phase)`, anew)
  if (slot.isLost) {
    const message = `the slot ${config.slot} is lost (${slot.walStatus})`
    return config.createSlot
      ? found(name, 'warn', `${message}: the next start makes it anew and flushes every layer`, anew)
      : fault(message, anew)
  }
  if (slot.isActive && slot.consumer !== applicationNameOf(config)) {
    const message = `the slot ${config.slot} is in use by ${slot.consumer || 'another consumer'}, which takes changes away`
    return found(name, 'warn', message, other)
  }
  if (slot.walStatus === 'unreserved')
    return found(name, 'warn', `the slot ${config.slot} is about to be lost`, advice('start the connector'))
  return ok(name, slot.isActive ? 'the slot is in use by a connector' : 'the slot exists')
}

function failoverCheck({ serverVersion, slot, server }: CatalogFacts, { failoverSlot }: PreflightConfig): Check[] {
  const name = 'failover-slot'
  if (serverVersion < FAILOVER_SLOTS || slot === undefined || !failoverSlot) return []
  if (!slot.isFailover) {
    const remedy = advice(
      'drop the slot while the connector is stopped: made anew it survives, and every layer is flushed once',
    )
    return [found(name, 'info', 'the slot does not survive a failover: every layer is flushed after one', remedy)]
  }
  const standbys = server.settings.synchronized_standby_slots
  if (standbys === '')
    return [found(name, 'info', 'synchronized_standby_slots is empty: a standby may lag behind what was published')]
  return [ok(name, `the slot survives a failover to ${standbys}`)]
}
