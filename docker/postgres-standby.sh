# Copies the primary once, then follows it.
set -euo pipefail
export PGPASSWORD
PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")"
primary='host=postgres user=postgres dbname=shop'
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  psql "$primary" -qc "select pg_create_physical_replication_slot('standby')
    where not exists (select from pg_replication_slots where slot_name = 'standby')"
  rm -rf "$PGDATA"
  pg_basebackup --dbname="$primary" --pgdata="$PGDATA" --write-recovery-conf --slot=standby --checkpoint=fast
fi
exec postgres -c hot_standby_feedback=on -c sync_replication_slots=on -c shared_buffers=32MB -c wal_level=logical
