import type { Socket } from 'node:net'
import type pg from 'pg'
import { parseLsn, parseSnapshot } from '@lockstep/schemas'
import type { Reading, Snapshots } from '../ports.ts'
import { classify, closeClient, openClient } from './client.ts'
import type { ClientOptions } from './client.ts'
import { MESSAGE, serverError } from './messages.ts'
import { MessageSplitter } from './message-splitter.ts'

// The snapshot belongs to the statement and is taken before any of its functions run: W first, then L.
// On a standby the second function raises an error, so a demoted server ends the session.
const QUERY = {
  name: 'lockstep_snapshot',
  text: 'select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text',
}

/** Takes snapshots over a connection of its own, with one prepared statement. */
export async function openSnapshots(options: ClientOptions): Promise<Snapshots> {
  const client = await openClient(options)
  try {
    await client.query(QUERY)
  } catch (error) {
    await closeClient(client)
    throw classify(error)
  }
  const connection = new SnapshotConnection(client)
  return { take: () => connection.take(), close: () => closeClient(client) }
}

/**
 * Executes the prepared statement on a socket that it has taken over: a question and its answer are a few bytes, and a
 * busy connector asks thousands of times a second.
 */
class SnapshotConnection {
  readonly #socket: Socket
  readonly #question = executeMessage(QUERY.name)
  #asked: PromiseWithResolvers<Reading> | undefined
  #reading: Reading | undefined
  #fault: unknown

  constructor(client: pg.Client) {
    this.#socket = (client as unknown as { connection: { stream: Socket } }).connection.stream
    const splitter = new MessageSplitter((type, bytes, start, end) => this.#take(type, bytes.subarray(start, end)))
    // Nothing is on its way: the query before has been answered whole.
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', (chunk: Buffer) => splitter.push(chunk))
    client.on('error', (error) => this.#end(error))
    client.on('end', () => this.#end(new Error('the server closed the connection')))
  }

  take(): Promise<Reading> {
    if (this.#fault !== undefined) return Promise.reject(classify(this.#fault) as Error)
    this.#asked = Promise.withResolvers()
    this.#socket.write(this.#question)
    return this.#asked.promise
  }

  #take(type: number, body: Buffer): void {
    if (type === MESSAGE.dataRow) this.#reading = readRow(body)
    else if (type === MESSAGE.error) this.#end(serverError(body))
    else if (type === MESSAGE.ready && this.#reading !== undefined) {
      this.#asked?.resolve(this.#reading)
      this.#asked = this.#reading = undefined
    }
  }

  #end(error: unknown): void {
    this.#fault ??= error
    this.#asked?.reject(classify(this.#fault))
    this.#asked = undefined
  }
}

/** Number of columns, then a length and a text for each. */
function readRow(body: Buffer): Reading {
  const middle = 6 + body.readInt32BE(2)
  const [snapshot, lsn] = [body.toString('latin1', 6, middle), body.toString('latin1', middle + 4)]
  return { snapshot: parseSnapshot(snapshot), lsn: parseLsn(lsn) }
}

/** Bind without parameters, with columns as text; Execute; Sync. */
function executeMessage(statement: string): Buffer {
  const message = (type: string, ...parts: readonly Buffer[]): Buffer => {
    const body = Buffer.concat(parts)
    const head = Buffer.from(`${type}\0\0\0\0`)
    head.writeInt32BE(4 + body.length, 1)
    return Buffer.concat([head, body])
  }
  const unnamed = Buffer.from('\0')
  return Buffer.concat([
    message('B', unnamed, Buffer.from(`${statement}\0`), Buffer.alloc(6)),
    message('E', unnamed, Buffer.alloc(4)),
    message('S'),
  ])
}
