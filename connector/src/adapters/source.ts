import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { applicationNameOf } from '../config.ts'
import type { ServerIdentity, Source, SourceAdmin } from '../ports.ts'
import { createSourceAdmin } from './admin.ts'
import { createCatalog } from './catalog.ts'
import { clientConfig, closeClient, openClient } from './client.ts'
import type { ClientOptions } from './client.ts'
import { createEpochStore } from './epoch-store.ts'
import { readIdentity } from './identity.ts'
import { openStream } from './replication-stream.ts'
import type { StreamTuning } from './replication-stream.ts'
import { createLink } from './link.ts'
import { openSnapshots } from './snapshots.ts'

export interface PgSourceOptions {
  readonly url: string
  readonly namespace: string
  readonly slot: string
  readonly publication: string
  /** The slot is made by the stream, under a name of its own, and vanishes with it. */
  readonly temporarySlot: boolean
  readonly tuning?: StreamTuning | undefined
}

/** A source that can take back what a process with a temporary slot has made. */
export interface PgSource extends Source {
  /** Drops the publication if the slot is temporary and this source made it; call it after the stream has ended. */
  cleanUp(): Promise<void>
}

const DUPLICATE_OBJECT = '42710'
const CLEAN_UP_MS = 2_000

/** Reaches one primary with three connections: one for work, one for snapshots, one for the stream. */
export function createPgSource(given: PgSourceOptions): PgSource {
  const { url, namespace, publication, temporarySlot: isTemporary, tuning } = given
  // Slots are shared by all databases of a server: two processes with temporary ones must not meet.
  const slot = isTemporary ? `${given.slot.slice(0, 50)}_${randomBytes(6).toString('hex')}` : given.slot
  let ownsPublication = false
  /** Notes what was made before the answer arrives: a lost answer may hide a success. */
  const noting = (admin: SourceAdmin): SourceAdmin => ({
    ...admin,
    createPublication: async (tables) => {
      ownsPublication = true
      try {
        await admin.createPublication(tables)
      } catch (error) {
        if ((error as { code?: string }).code === DUPLICATE_OBJECT) ownsPublication = false
        throw error
      }
    },
  })
  const applicationName = applicationNameOf(given)
  const options: ClientOptions = { url, applicationName }
  return {
    async connect() {
      const client = await openClient(options)
      // Raises and pushes must never wait for a missing standby: a lost raise is stepped over after a failover.
      await client.query('set synchronous_commit = local')
      // Where a full disk made the database read-only, a slot that could no longer move would keep it full.
      await client.query('set default_transaction_read_only = off')
      // The lead must not outlive a host that vanished without a word.
      await client.query(`set tcp_keepalives_idle = 2; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3`)
      return {
        catalog: createCatalog({ client, slot, publication, identify: () => identifySystem(options) }),
        admin: noting(createSourceAdmin({ client, slot, publication, applicationName })),
        epochs: createEpochStore(client, namespace),
        link: createLink(client, namespace),
      }
    },
    openSnapshots: () => openSnapshots(options),
    openStream: (expected, ready) =>
      openStream({ client: options, slot, publication, isTemporary, expected, tuning }, ready),
    async cleanUp() {
      if (!isTemporary || !ownsPublication) return
      const client = await openClient(options)
      try {
        await client.query(`set statement_timeout = ${CLEAN_UP_MS}`)
        await client.query(`drop publication if exists "${publication}"`)
        ownsPublication = false
      } finally {
        await closeClient(client)
      }
    },
  }
}

/** Asks a replication connection which server it reaches; a refusal is answered as its text. */
async function identifySystem(options: ClientOptions): Promise<ServerIdentity | string> {
  const client = new pg.Client({ ...clientConfig(options), replication: 'database' } as pg.ClientConfig)
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await readIdentity(client)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await closeClient(client)
  }
}
