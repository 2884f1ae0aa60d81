import { startFaultyLinks, type FaultyLink, type FaultyLinks } from '@lockstep/servers'

export const SERVERS = ['postgres', 'kafka', 'redis', 'edge'] as const
export type Linked = (typeof SERVERS)[number]

/** The links between the services and their servers, one a server. */
export class Links {
  readonly #all: FaultyLinks
  readonly #links: Readonly<Record<Linked, FaultyLink>>

  private constructor(all: FaultyLinks, links: Readonly<Record<Linked, FaultyLink>>) {
    this.#all = all
    this.#links = links
  }

  static async start(): Promise<Links> {
    const all = await startFaultyLinks()
    const [postgres, kafka, redis, edge] = [await all.open(), await all.open(), await all.open(), await all.open()]
    return new Links(all, { postgres, kafka, redis, edge })
  }

  to(server: Linked): FaultyLink {
    return this.#links[server]
  }

  /** Leads the link to where the URL points; resolves with the URL by way of the link. */
  async through(server: Linked, url: string): Promise<string> {
    const by = new URL(url)
    await this.#links[server].leadTo(Number(by.port))
    by.port = String(this.#links[server].port)
    // Without the slash that a URL of nothing but a host is given.
    return by.href.replace(/\/$/, '')
  }

  stop(): Promise<void> {
    return this.#all.stop()
  }
}
