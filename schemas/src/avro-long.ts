import avro from 'avsc'

const MAX = 2n ** 63n - 1n
const MIN = -(2n ** 63n)
// Below this magnitude zigzag arithmetic on doubles is exact.
const EXACT = 2n ** 51n
// Eight bytes may hold more than a double does; the sum then says so.
const EXACT_BYTES = 8
/** One target per length: avsc copies the bytes out before the next call, so nothing is allocated per value. */
const TARGETS = Array.from({ length: 11 }, (_, length) => Buffer.alloc(length))
const scratch = Buffer.alloc(10)

/**
 * Is Avro's `long` as a bigint, exact over all 64 bits, with the same bytes on the wire. avsc's own type is a double and
 * below −2⁵² loses precision without a word. Reference it as plain `"long"`: an inline `{"type": "long"}` passes it by.
 */
export const BIGINT_LONG = avro.types.LongType.__with(
  {
    toBuffer: writeZigzag,
    fromBuffer: readZigzag,
    fromJSON: BigInt,
    toJSON: Number,
    // The range is checked on writing: avsc's own report of an invalid value cannot print a bigint.
    isValid: (value: unknown) => typeof value === 'bigint',
    compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
  },
  true,
)

function writeZigzag(value: bigint): Buffer {
  let length = 0
  if (value < EXACT && value > -EXACT) {
    const plain = Number(value)
    let rest = plain < 0 ? -2 * plain - 1 : 2 * plain
    for (; rest >= 128; rest = Math.floor(rest / 128)) scratch[length++] = (rest % 128) | 0x80
    scratch[length++] = rest
  } else {
    if (value > MAX || value < MIN) throw new RangeError('a long must fit into 64 bits')
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
    for (; rest >= 128n; rest >>= 7n) scratch[length++] = Number(rest & 0x7fn) | 0x80
    scratch[length++] = Number(rest)
  }
  const target = TARGETS[length]!
  for (let index = 0; index < length; index++) target[index] = scratch[index]!
  return target
}

/** Reads the varint of at most 10 bytes that `assertWireShape` let through; bits past the 64th are dropped. */
function readZigzag(bytes: Buffer): bigint {
  if (bytes.length <= EXACT_BYTES) {
    let value = 0
    for (let index = bytes.length - 1; index >= 0; index--) value = value * 128 + (bytes[index]! & 0x7f)
    if (value < Number.MAX_SAFE_INTEGER) return BigInt(value % 2 === 0 ? value / 2 : -(value + 1) / 2)
  }
  let value = 0n
  for (let index = bytes.length - 1; index >= 0; index--) value = (value << 7n) | BigInt(bytes[index]! & 0x7f)
  value = BigInt.asUintN(64, value)
  return value & 1n ? -((value + 1n) >> 1n) : value >> 1n
}
