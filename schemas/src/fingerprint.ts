// CRC-64-AVRO as the Avro specification gives it (1.12, "Schema fingerprints"): reflected, seeded with this constant.
const EMPTY = 0xc15d213aa4d7a795n

const TABLE = Array.from({ length: 256 }, (_, index) => {
  let crc = BigInt(index)
  for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? EMPTY : 0n)
  return crc
})

/** Computes the 64-bit Rabin fingerprint of a schema's parsing canonical form. Slow (bigint): call it once per schema. */
export function fingerprint64(canonicalForm: string): bigint {
  let crc = EMPTY
  for (const byte of Buffer.from(canonicalForm)) crc = (crc >> 8n) ^ TABLE[Number((crc ^ BigInt(byte)) & 0xffn)]!
  return crc
}
