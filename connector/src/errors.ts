import { defineErrors } from '@lockstep/runtime'

/** Every error of this room: what happened, how it is handled, what the operator does. */
export const CONNECTOR_ERRORS = {
  LOCKSTEP_CON_PREFLIGHT: {
    disposition: 'config',
    message: 'the source database is not ready:\n  {faults}\n',
    remedy: 'Apply what stands below each fault, then start again; `lockstep doctor` repeats the checks.',
  },
  LOCKSTEP_CON_UNREACHABLE: {
    disposition: 'transient',
    message: 'the source database cannot be reached ({state})',
    remedy: 'Check LOCKSTEP_CONNECTOR_DATABASE_URL, the network and the server; the connector tries again by itself',
  },
  LOCKSTEP_CON_OTHER_PRIMARY: {
    disposition: 'transient',
    message: 'the SQL and the replication connection reach different servers ({sql} and {replication})',
    remedy: 'Connect to the primary itself, not through a pooler or a balancer; the connector tries again by itself',
  },
  LOCKSTEP_CON_STREAM: {
    disposition: 'transient',
    message: 'the replication stream ended: {reason}',
    remedy: 'The connector reconnects by itself; look at the server log when it happens again',
  },
  LOCKSTEP_CON_SILENT: {
    disposition: 'transient',
    message: 'the server sent nothing for {silentMs} ms',
    remedy: 'The connector reconnects by itself; check the network between it and the database',
  },
  LOCKSTEP_CON_HEARTBEAT: {
    disposition: 'transient',
    message: 'a heartbeat written to the WAL did not come back within {waitedMs} ms',
    remedy: 'The connector reconnects by itself; check the load of the walsender and `logical_decoding_work_mem`',
  },
  LOCKSTEP_CON_PUBLICATION: {
    disposition: 'transient',
    message: 'the publication was changed while the stream ran',
    remedy: 'The connector begins a new generation by itself; change publications only with the connector stopped',
  },
  LOCKSTEP_CON_SLOT_LOST: {
    disposition: 'transient',
    message: 'the slot {slot} is lost while the stream runs: {why}',
    remedy: 'The connector begins a new generation by itself; raise max_slot_wal_keep_size where WAL was removed',
  },
  LOCKSTEP_CON_SLOT_BUSY: {
    disposition: 'transient',
    message: 'the slot {slot} is in use by process {pid} of the server ({who})',
    remedy:
      'Stop that reader, SELECT pg_terminate_backend({pid}), or choose another name with LOCKSTEP_CONNECTOR_SLOT; the connector tries again by itself',
  },
  LOCKSTEP_CON_LEAD_LOST: {
    disposition: 'transient',
    message: 'the connection that holds the lead has ended',
    remedy: 'Nothing is to be done: another connector leads, or this one connects again by itself',
  },
  LOCKSTEP_CON_GENERATIONS: {
    disposition: 'transient',
    message: 'generations begin too often: {count} gaps within an hour, the newest is {reason}',
    remedy:
      'Find what takes the slot or the publication away (replication tools, max_slot_wal_keep_size, failovers), or raise LOCKSTEP_CONNECTOR_MAX_GENERATIONS_PER_HOUR; the connector goes on by itself when the hour has passed',
  },
  LOCKSTEP_CON_PROTOCOL: {
    disposition: 'transient',
    message: 'a pgoutput frame cannot be followed: {detail}',
    remedy: 'The connector reads the transaction again by itself; report it when it happens again',
  },
  LOCKSTEP_CON_UNDECODABLE: {
    disposition: 'poison',
    message: 'a row of {table} cannot be decoded',
    remedy: 'Its whole table was invalidated; the dead letter holds a SHA-256 of the bytes',
  },
  LOCKSTEP_CON_RULES: {
    disposition: 'config',
    message: 'the rules in {path} cannot be used:\n{faults}\n',
    remedy: 'Mend every fault listed, or name another file with LOCKSTEP_RULES_FILE',
  },
  LOCKSTEP_CON_STOPPED: {
    disposition: 'aborted',
    message: 'the connector was stopped',
    remedy: 'Nothing is to be done',
  },
} as const

/** Makes this room's errors. */
export const fail = defineErrors('connector', CONNECTOR_ERRORS)
