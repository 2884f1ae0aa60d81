import { encodeEvent, parseTag, stampOf } from '@lockstep/schemas'
import type { Clock, Lsn, PurgeCommand } from '@lockstep/schemas'
import type { LogRecord } from '@lockstep/runtime'

/** The parts of a command that a test cares about. */
export interface CommandParts {
  readonly tag: string
  /** Becomes the stamp's clock in generation 1. */
  readonly clock?: number | undefined
  readonly busId?: string | undefined
  /** Commit time, ms since the Unix epoch. */
  readonly commitMs?: number | undefined
}

/** Makes a purge command. */
export function command({ tag, clock = 1, busId = '', commitMs = 0 }: CommandParts): PurgeCommand {
  return {
    kind: 'purge',
    id: `${tag}@${clock}`,
    tag: parseTag(tag),
    stamp: stampOf(1, clock.toString(16).padStart(20, '0') as Clock),
    commitLsn: BigInt(clock) as Lsn,
    commitTimeUs: BigInt(commitMs) * 1000n,
    busId,
    reason: 'test',
  }
}

/** Makes the log record of a purge command. */
export function commandRecord(parts: CommandParts): LogRecord {
  return { key: parts.tag, value: encodeEvent(command(parts)) }
}
