import { retry } from '@lockstep/runtime'
import pg from 'pg'

/** Changes products, one at a time. */
export interface ProductWriter {
  /** The version that the change made; undefined where it made none, or nobody can tell. */
  set(id: number, priceCents: number): Promise<number | undefined>
  close(): Promise<void>
}

const SQL = `update products set price_cents = $2, version = version + 1, updated_at = now()
             where id = $1 returning version`
// SQLSTATE classes: connection exception, operator intervention.
const SHUT_DOWN = /^(?:08|57)/
// A server that is restarted is back within seconds.
const RECONNECT = { policy: { initialMs: 50, maxMs: 250 }, maxAttempts: 120 }

/** Writes to the database itself, over a connection that is made anew when it breaks. */
export class SqlWriter implements ProductWriter {
  readonly #url: string
  readonly #reconnected: () => void
  #client: pg.Client

  private constructor(url: string, client: pg.Client, reconnected: () => void) {
    this.#url = url
    this.#client = client
    this.#reconnected = reconnected
  }

  /** @throws what the database refuses the first connection with. */
  static async open(url: string, reconnected: () => void): Promise<SqlWriter> {
    return new SqlWriter(url, await connect(url), reconnected)
  }

  /** A change whose connection broke may or may not have happened: it counts as none, and the next one stands above it. */
  async set(id: number, priceCents: number): Promise<number | undefined> {
    try {
      const { rows } = await this.#client.query<{ version: number }>({
        name: 'write',
        text: SQL,
        values: [id, priceCents],
      })
      return rows[0] && Number(rows[0].version)
    } catch (error) {
      if (error instanceof pg.DatabaseError && !SHUT_DOWN.test(error.code ?? '')) throw error
      this.#client.end().catch(() => undefined)
      this.#client = await retry(() => connect(this.#url), RECONNECT)
      this.#reconnected()
      return undefined
    }
  }

  close(): Promise<void> {
    return this.#client.end()
  }
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5_000 })
  // The statement that needs the connection reports how it broke.
  client.on('error', () => undefined)
  await client.connect()
  return client
}
