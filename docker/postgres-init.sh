# Run once, when the volume is made: a standby may stream, and the purger's journal has a database of its own.
echo 'host replication all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
psql -v ON_ERROR_STOP=1 --username postgres --dbname shop -c 'create database journal'
