import type { Lsn } from '@lockstep/schemas'

const COPY_DATA = 0x64
const HEAD_BYTES = 5
const BODY_BYTES = 34
const TAG = 0x72
const POSTGRES_EPOCH_MS = 946_684_800_000

/**
 * Encodes a standby status update as it goes over the wire. The three positions are exactly `lsn`: a position one further
 * would make Postgres forget a transaction whose commit record begins where the last one ends. @param wallMs since the
 * Unix epoch.
 */
export function statusMessage(lsn: Lsn, wantsReply: boolean, wallMs: number): Buffer {
  const message = Buffer.alloc(HEAD_BYTES + BODY_BYTES)
  message[0] = COPY_DATA
  message.writeInt32BE(BODY_BYTES + 4, 1)
  message[HEAD_BYTES] = TAG
  for (const offset of [1, 9, 17]) message.writeBigUInt64BE(lsn, HEAD_BYTES + offset)
  message.writeBigInt64BE(BigInt(Math.round((wallMs - POSTGRES_EPOCH_MS) * 1000)), HEAD_BYTES + 25)
  message[HEAD_BYTES + 33] = wantsReply ? 1 : 0
  return message
}
