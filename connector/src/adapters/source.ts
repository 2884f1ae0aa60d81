import pg from 'pg'
import type { ServerIdentity, Source } from '../ports.ts'
import { createSourceAdmin } from './admin.ts'
import { createCatalog } from './catalog.ts'
import { classify, clientConfig, closeClient, openClient } from './client.ts'
import type { ClientOptions } from './client.ts'
import { createEpochStore } from './epoch-store.ts'
import { readIdentity } from './identity.ts'
import { openStream } from './replication-stream.ts'
import type { StreamTuning } from './replication-stream.ts'
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

/** Reaches one primary with three connections: one for work, one for snapshots, one for the stream. */
export function createPgSource(given: PgSourceOptions): Source {
  const { url, namespace, publication, temporarySlot: isTemporary, tuning } = given
  const slot = isTemporary ? `${given.slot.slice(0, 53)}_temporary` : given.slot
  const options: ClientOptions = { url, applicationName: 'lockstep' }
  return {
    async connect() {
      const client = await openClient(options)
      // Raises and pushes must never wait for a missing standby: a lost raise is stepped over after a failover.
      await client.query('set synchronous_commit = local')
      return {
        catalog: createCatalog({ client, slot, publication, identify: () => identifySystem(options) }),
        admin: createSourceAdmin({ client, slot, publication }),
        epochs: createEpochStore(client, namespace),
        close: () => closeClient(client),
      }
    },
    openSnapshots: () => openSnapshots(options),
    openStream: (expected, ready) =>
      openStream({ client: options, slot, publication, isTemporary, expected, tuning }, ready),
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
    const refused = classify(error)
    return refused instanceof Error ? refused.message : String(refused)
  } finally {
    await closeClient(client)
  }
}
