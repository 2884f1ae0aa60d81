import { SCHEMA_VERSIONS } from '../avro-schemas.ts'
import type { WireSchema } from '../avro-schemas.ts'
import { encodeEvent } from '../codec.ts'
import type { LogEvent } from '../events.ts'
import type { Lsn } from '../lsn.ts'
import type { Stamp } from '../stamp.ts'
import type { Tag } from '../tag.ts'

/** Is one file of `fixtures/vN`: a schema as it was, an event, and its bytes as that version wrote them. */
export interface Fixture {
  readonly schema: WireSchema
  readonly event: LogEvent
  readonly hex: string
}

const STAMP = '00000003000000000001e240fffd' as Stamp

/** Names the directory of a wire version's fixtures. */
export function fixtureUrl(version: number): URL {
  return new URL(`../fixtures/v${version}/`, import.meta.url)
}

/** Lists one event of each kind, with the values that are easy to get wrong: NULL, absent, text beyond ASCII, 64 bits. */
export function goldenEvents(): LogEvent[] {
  return [
    {
      kind: 'change',
      op: 'update',
      table: 'public.products',
      before: { id: '42', category_id: '7', note: '' },
      after: { id: '42', category_id: null, name: 'Übergröße 🧦', note: 'x'.repeat(200) },
      stamp: STAMP,
      commitLsn: 0xfedcba9876543210n as Lsn,
      index: 5_000_000_000,
      xid: 4_294_967_299n,
      commitTimeUs: 1_763_727_877_123_456n,
    },
    { kind: 'watermark', stamp: STAMP, lsn: 0x16b374d848n as Lsn, partitions: 6, echo: '1763727877123456' },
    { kind: 'flush', generation: 0xffffffff, reason: 'slot re-created', edge: true, partitions: 6 },
    {
      kind: 'purge',
      id: '3-17',
      tag: 'category:Übergröße' as Tag,
      stamp: STAMP,
      commitLsn: 0x16b374d848n as Lsn,
      commitTimeUs: -1n,
      busId: '1763727877123-0',
      reason: 'change',
    },
    {
      kind: 'dead-letter',
      code: 'LOCKSTEP_SCHEMA_FRAMING',
      message: 'the bytes do not begin with the single-object marker c301',
      topic: 'changes',
      partition: 3,
      offset: 9_007_199_254_740_993n,
      payload: Buffer.from('00ff80c301', 'hex'),
    },
  ]
}

/** Writes the text of a fixture: bigints as `{"$bigint": "…"}`, bytes as `{"$hex": "…"}`. */
export function fixtureOf(event: LogEvent): string {
  const schema = SCHEMA_VERSIONS.at(-1)![event.kind]
  const plain = { schema, event: Object.fromEntries(Object.entries(event).map(([key, value]) => [key, tame(value)])) }
  return `${JSON.stringify({ ...plain, hex: encodeEvent(event).toString('hex') }, null, 2)}\n`
}

/** Reads what {@link fixtureOf} wrote. */
export function parseFixture(text: string): Fixture {
  return JSON.parse(text, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    if ('$bigint' in value) return BigInt(String(value.$bigint))
    if ('$hex' in value) return Buffer.from(String(value.$hex), 'hex')
    return value
  }) as Fixture
}

function tame(value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: String(value) }
  return Buffer.isBuffer(value) ? { $hex: value.toString('hex') } : value
}
