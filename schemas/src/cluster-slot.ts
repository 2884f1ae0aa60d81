const SLOTS = 16_384
/** CRC-16/XMODEM, which a Redis Cluster hashes with. */
const POLYNOMIAL = 0x1021

/** The slot of a Redis Cluster that a key lies in: the hash of what stands in its first braces, else of all of it. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key
  let crc = 0
  for (const byte of new TextEncoder().encode(hashed)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? POLYNOMIAL : 0)) & 0xffff
  }
  return crc % SLOTS
}
