import type { Redis } from 'ioredis'
import { CacheError } from '../errors.ts'
import { SCRIPTS, type Script } from './scripts.ts'

/** A Redis command as words. */
export type Command = readonly [name: string, ...args: (string | number)[]]

/** Writes a script call as a command. */
export function call(script: Script, keys: readonly string[], args: readonly (string | number)[]): Command {
  return ['evalsha', script.sha, keys.length, ...keys, ...args]
}

type Replies = [error: Error | null, result: unknown][]

/** Classifies what a client throws. */
export function failure(error: unknown): CacheError {
  if (error instanceof CacheError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new CacheError('LOCKSTEP_CACHE_REDIS', `redis command failed, check that Redis answers: ${reason}`, {
    cause: error,
  })
}

async function execute(redis: Redis, commands: readonly Command[]): Promise<Replies> {
  const replies = await redis.pipeline(commands.map((words) => [...words])).exec()
  if (!replies) throw new Error('the pipeline was discarded')
  return replies as Replies
}

const isMissingScript = (error: Error | null): boolean => error?.message.startsWith('NOSCRIPT') ?? false

/**
 * Runs commands in order in one round trip. Where the server has forgotten a script, loads all of them and runs the
 * commands again, so each must be repeatable. @throws CacheError for the first command that failed.
 */
export async function runPipeline(redis: Redis, commands: readonly Command[]): Promise<unknown[]> {
  try {
    let replies = await execute(redis, commands)
    if (replies.some(([error]) => isMissingScript(error))) {
      await execute(
        redis,
        SCRIPTS.map((script): Command => ['script', 'load', script.source]),
      )
      replies = await execute(redis, commands)
    }
    return replies.map(([error, result]) => {
      if (error) throw error
      return result
    })
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
