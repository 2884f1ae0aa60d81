import { chownSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pollUntil, isRunning, type PostgresServer } from '@lockstep/servers'
import pg from 'pg'

/**
 * What `pg_resetwal -x` does, for versions whose binaries lack it: rewrites the next xid in pg_control and in the
 * checkpoint record of a server that was shut down, with their checksums. Offsets are those of versions 13 to 18.
 */
const CONTROL_CHECKPOINT = 32
const CONTROL_COPY = 40
const NEXT_XID = 24
const OLDEST_XID = 44
const RECORD_HEADER = 24
const RECORD_CRC = 20
const DATA_HEADER = 2
const PAGE_BYTES = 8192
const SEGMENT_BYTES = 16 * 1024 * 1024
const XIDS_PER_PAGE = PAGE_BYTES * 4
const PAGES_PER_SEGMENT = 32
const STOP_MS = 15_000

const TABLE = Uint32Array.from({ length: 256 }, (_none, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** CRC-32C of several pieces, as Postgres takes it. */
function crc32c(...pieces: readonly Buffer[]): number {
  let crc = 0xffffffff
  for (const piece of pieces) for (const byte of piece) crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** Writes the xids into a CheckPoint struct that begins at `at`. */
function setXids(bytes: Buffer, at: number, next: bigint): void {
  bytes.writeBigUInt64LE(next, at + NEXT_XID)
  // A little behind it, as if everything had just been frozen.
  bytes.writeUInt32LE(Number(BigInt.asUintN(32, next - 1_000_000n)), at + OLDEST_XID)
}

/** Where the checksum of pg_control stands: right behind what it covers. */
function crcOffset(control: Buffer): number {
  for (let at = CONTROL_COPY; at + 4 <= 512; at += 4)
    if (control.readUInt32LE(at) === crc32c(control.subarray(0, at))) return at
  throw new Error('pg_control has no checksum that fits')
}

function patchRecord(dataDir: string, checkpoint: bigint, next: bigint): void {
  const segment = checkpoint / BigInt(SEGMENT_BYTES)
  const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0')
  const wal = join(dataDir, 'pg_wal')
  const name = readdirSync(wal).find((file) => file.endsWith(hex(segment / 256n) + hex(segment % 256n)))
  const file = join(wal, name ?? '')
  const bytes = readFileSync(file)
  const at = Number(checkpoint % BigInt(SEGMENT_BYTES))
  const length = bytes.readUInt32LE(at)
  if (Math.floor(at / PAGE_BYTES) !== Math.floor((at + length) / PAGE_BYTES))
    throw new Error('the checkpoint record crosses a page')
  setXids(bytes, at + RECORD_HEADER + DATA_HEADER, next)
  const crc = crc32c(bytes.subarray(at + RECORD_HEADER, at + length), bytes.subarray(at, at + RECORD_CRC))
  bytes.writeUInt32LE(crc, at + RECORD_CRC)
  writeFileSync(file, bytes)
}

/** The status of transactions near the new xid must exist: all zeroes, in progress. */
function makeStatusFile(dataDir: string, next: bigint): void {
  const page = BigInt.asUintN(32, next) / BigInt(XIDS_PER_PAGE)
  const name = (page / BigInt(PAGES_PER_SEGMENT)).toString(16).toUpperCase().padStart(4, '0')
  const file = join(dataDir, 'pg_xact', name)
  const { uid, gid } = statSync(dirname(file))
  writeFileSync(file, Buffer.alloc(PAGE_BYTES * PAGES_PER_SEGMENT), { mode: 0o600 })
  chownSync(file, uid, gid)
}

/** Freezes everything, stops the server, makes `next` its next xid and starts it again. Autovacuum must be off. */
export async function advanceXid(server: PostgresServer, next: bigint): Promise<void> {
  for (const database of ['postgres', 'template1']) {
    const client = new pg.Client({ connectionString: Object.assign(new URL(server.url), { pathname: database }).href })
    await client.connect()
    await client.query('vacuum freeze')
    await client.end()
  }
  const { pid, dataDir } = server
  process.kill(pid, 'SIGINT')
  if (!(await pollUntil(() => !isRunning(pid), STOP_MS))) throw new Error('the server does not stop')
  const file = join(dataDir, 'global', 'pg_control')
  const control = readFileSync(file)
  const crcAt = crcOffset(control)
  setXids(control, CONTROL_COPY, next)
  control.writeUInt32LE(crc32c(control.subarray(0, crcAt)), crcAt)
  patchRecord(dataDir, control.readBigUInt64LE(CONTROL_CHECKPOINT), next)
  makeStatusFile(dataDir, next)
  writeFileSync(file, control)
  await server.restart()
}
