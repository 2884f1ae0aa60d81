import type { Lsn } from '@lockstep/schemas'

const LENGTH = 34
const TAG = 0x72
const POSTGRES_EPOCH_MS = 946_684_800_000

/**
 * Encodes a standby status update. The three positions are exactly `lsn`: a position one further would make Postgres
 * forget a transaction whose commit record begins where the last one ends. @param wallMs since the Unix epoch.
 */
export function statusMessage(lsn: Lsn, wantsReply: boolean, wallMs: number): Buffer {
  const message = Buffer.alloc(LENGTH)
  message[0] = TAG
  for (const offset of [1, 9, 17]) message.writeBigUInt64BE(lsn, offset)
  message.writeBigInt64BE(BigInt(Math.round((wallMs - POSTGRES_EPOCH_MS) * 1000)), 25)
  message[33] = wantsReply ? 1 : 0
  return message
}
