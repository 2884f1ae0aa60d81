import type pg from 'pg'
import type { SlotVitals, Vitals } from '../ports.ts'

// The slot as JSON, because its columns grow with the versions. Snapshots hold the xids of every database.
const VITALS = {
  name: 'lockstep_vitals',
  text: `
select pg_snapshot_xmin(pg_current_snapshot())::text as oldest_xid, pg_snapshot_xmax(pg_current_snapshot())::text as next_xid,
  (select to_jsonb(s) from pg_replication_slots s where s.slot_name = $1) as slot,
  (select pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8 from pg_replication_slots s where s.slot_name = $1)
    as retained,
  (select st.spill_bytes::float8 from pg_stat_replication_slots st where st.slot_name = $1) as spilled`,
}

interface VitalsRow {
  readonly oldest_xid: string
  readonly next_xid: string
  readonly retained: number | null
  readonly spilled: number | null
  readonly slot: {
    readonly wal_status: string | null
    readonly safe_wal_size: number | null
    /** 17 and newer. */
    readonly invalidation_reason?: string | null
    /** 16 and newer. */
    readonly conflicting?: boolean | null
  } | null
}

/** Reads what may become a gap, all but the publication, in one statement. */
export async function readVitals(client: pg.Client, slot: string): Promise<Omit<Vitals, 'publication'>> {
  const row = (await client.query<VitalsRow>({ ...VITALS, values: [slot] })).rows[0] as VitalsRow
  return { slot: slotOf(row), oldestXid: BigInt(row.oldest_xid), nextXid: BigInt(row.next_xid) }
}

function slotOf({ slot, retained, spilled }: VitalsRow): SlotVitals | undefined {
  if (slot === null) return undefined
  const walStatus = slot.wal_status ?? 'reserved'
  const reason = slot.invalidation_reason ?? (slot.conflicting === true ? 'conflicting' : '')
  return {
    walStatus,
    invalidation: walStatus === 'lost' ? reason || 'wal_removed' : reason,
    retainedBytes: retained ?? 0,
    safeBytes: slot.safe_wal_size,
    spilledBytes: spilled ?? 0,
  }
}
