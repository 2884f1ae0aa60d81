import { Command as RedisCommand, type Redis } from 'ioredis'
import { CacheError } from '../errors.ts'
import { SCRIPTS, type Script } from './scripts.ts'
import { atTurnEnd } from './turn-end.ts'

/** A Redis command as words. */
export type Command = readonly [name: string, ...args: (string | number)[]]

/** Writes a script call as a command. */
export function call(script: Script, keys: readonly string[], args: readonly (string | number)[]): Command {
  return ['evalsha', script.sha, keys.length, ...keys, ...args]
}

/** Classifies what a client throws. */
export function failure(error: unknown): CacheError {
  if (error instanceof CacheError) return error
  const reason = error instanceof Error ? error.message : String(error)
  // The keys of a namespace share a slot, so only a client that does not look for it ends here for long.
  const remedy = reason.startsWith('MOVED')
    ? 'write its URL as redis+cluster://HOST:PORT if it is one'
    : 'check that Redis answers'
  return new CacheError('LOCKSTEP_CACHE_REDIS', `redis command failed, ${remedy}: ${reason}`, {
    cause: error,
  })
}

/** Undefined before the first connection. */
function streamOf(redis: Redis): Redis['stream'] | undefined {
  return redis.stream as Redis['stream'] | undefined
}

/**
 * Sends one command; all that one turn of the event loop sends over a connection leaves in one write. Not by ioredis'
 * `pipeline`, whose objects outlive minor collections: at 300 commits per second each of those took 30 ms (5.11.1).
 */
export function send(redis: Redis, [name, ...args]: Command): Promise<unknown> {
  const stream = streamOf(redis)
  if (stream?.writableCorked === 0) {
    stream.cork()
    atTurnEnd(() => stream.uncork())
  }
  return redis.sendCommand(new RedisCommand(name, args as string[], { replyEncoding: 'utf8' })) as Promise<unknown>
}

/** Sends off what the turn has so far, so that the server works on it while the turn goes on. */
export function flush(redis: Redis): void {
  // The uncorking that waits for the end of the turn then finds nothing to do.
  streamOf(redis)?.uncork()
}

/** From so many commands on (some 500 tags) the server should begin while this turn still has other work to do. */
const LONG_PIPELINE = 8

function sendAll(redis: Redis, commands: readonly Command[]): Promise<unknown[]> {
  const answers = commands.map((command) => send(redis, command))
  if (commands.length >= LONG_PIPELINE) flush(redis)
  return Promise.all(answers)
}

const isMissingScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith('NOSCRIPT')

/**
 * Runs commands in order in one round trip. Where the server has forgotten a script, loads all of them and runs the
 * commands again, so each must be repeatable. @throws CacheError for the first command that failed.
 */
export async function runPipeline(redis: Redis, commands: readonly Command[]): Promise<unknown[]> {
  try {
    return await sendAll(redis, commands)
  } catch (error) {
    if (!isMissingScript(error)) throw failure(error)
  }
  try {
    await Promise.all(SCRIPTS.map((script) => send(redis, ['script', 'load', script.source])))
    return await sendAll(redis, commands)
  } catch (error) {
    throw failure(error)
  }
}

/** Runs one command; see `runPipeline`. */
export async function runOne(redis: Redis, command: Command): Promise<unknown> {
  const [reply] = await runPipeline(redis, [command])
  return reply
}

/** Joins the two halves of a `TIME` reply to µs since the Unix epoch. */
export function timeOf(reply: unknown): bigint {
  const [seconds, micros] = reply as [string, string]
  return BigInt(seconds) * 1_000_000n + BigInt(micros)
}
