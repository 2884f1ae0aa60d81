import { readServersConfig, type ServersConfig, type ServerSource } from './config.ts'
import { ServersError } from './errors.ts'

/** Says where one kind of server may come from; each resolves undefined when it has none. */
export interface Offers<T> {
  readonly what: string
  /** Ends the message when nothing was found: what to set, start or install. */
  readonly remedy: string
  readonly sources: Readonly<Partial<Record<ServerSource, () => Promise<T | undefined>>>>
}

/** Tells a person at the terminal what is being done for them. */
export type Notice = (line: string) => void

/** Writes to the standard error stream, so that no output meant for a machine is disturbed. */
export const stderrNotice: Notice = (line) => {
  process.stderr.write(`lockstep: ${line}\n`)
}

/** Takes the server of the first source that has one; throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy. */
export async function firstOffer<T>(
  offers: Offers<T>,
  config: Pick<ServersConfig, 'order'> = readServersConfig(),
): Promise<T> {
  const tried: ServerSource[] = []
  for (const source of config.order) {
    const offer = offers.sources[source]
    if (offer === undefined) continue
    const server = await offer()
    if (server !== undefined) return server
    tried.push(source)
  }
  throw new ServersError(
    'LOCKSTEP_SRV_NOT_FOUND',
    `no ${offers.what} found (tried: ${tried.join(', ') || 'nothing'}); ${offers.remedy}`,
  )
}
