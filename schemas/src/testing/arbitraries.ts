import fc from 'fast-check'
import type {
  Change,
  Columns,
  ControlMessage,
  DeadLetter,
  Flush,
  LogEvent,
  PurgeCommand,
  Watermark,
} from '../events.ts'
import type { Lsn } from '../lsn.ts'
import { parseTag } from '../tag.ts'
import type { Tag } from '../tag.ts'
import { clockOf, stampOf } from '../stamp.ts'
import type { Stamp } from '../stamp.ts'

/** Generates well-formed text, as Postgres sends it. */
export const text = fc.string({ unit: 'binary', maxLength: 40 })

/** Generates columns maps, with names that are members of Object among them. */
export const columns: fc.Arbitrary<Columns> = fc.dictionary(
  fc.oneof(text, fc.constantFrom('id', '__proto__', 'constructor', 'toString')),
  fc.option(fc.oneof(text, fc.string({ unit: 'binary', minLength: 100, maxLength: 300 }))),
  { maxKeys: 6 },
)

const generation = fc.integer({ min: 0, max: 0xffffffff })
const unsigned64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const signed64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const lsn = unsigned64 as fc.Arbitrary<Lsn>
const partitions = fc.integer({ min: 1, max: 1000 })

/** Generates stamps of any generation. */
export const stamp: fc.Arbitrary<Stamp> = fc
  .tuple(generation, fc.bigInt({ min: 3n, max: 2n ** 60n }), fc.integer({ min: 0, max: 50 }))
  .map(([epoch, xmax, running]) =>
    stampOf(epoch, clockOf({ xmin: 3n, xmax, xip: Array.from({ length: running }, (_, index) => BigInt(index)) })),
  )

/** Generates tags: readable ones, ones near the edge's length limit, and any text. */
export const tag: fc.Arbitrary<Tag> = fc
  .oneof(
    fc.stringMatching(/^[a-z]{1,12}:[a-zA-Z0-9_.*:-]{1,30}$/),
    fc.stringMatching(/^[a-z.]{28,36}$/),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  )
  .filter((candidate) => {
    try {
      return parseTag(candidate) === candidate
    } catch {
      return false
    }
  }) as fc.Arbitrary<Tag>

/** Generates changes of any values. */
export const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constant('change'),
  op: fc.constantFrom('insert', 'update', 'delete', 'truncate', 'bulk', 'unknown'),
  table: text,
  before: columns,
  after: columns,
  stamp,
  commitLsn: lsn,
  index: fc.maxSafeNat(),
  xid: unsigned64,
  commitTimeUs: signed64,
})

const watermark: fc.Arbitrary<Watermark> = fc.record({
  kind: fc.constant('watermark'),
  stamp,
  lsn,
  partitions,
  echo: fc.stringMatching(/^\d{0,16}$/),
})

const flush: fc.Arbitrary<Flush> = fc.record({
  kind: fc.constant('flush'),
  generation,
  reason: text,
  edge: fc.boolean(),
  partitions,
})

/** Generates any purge command. */
export const purgeCommand: fc.Arbitrary<PurgeCommand> = fc.record({
  kind: fc.constant('purge'),
  id: text,
  tag,
  stamp,
  commitLsn: lsn,
  commitTimeUs: signed64,
  busId: text,
  reason: text,
})

const deadLetter: fc.Arbitrary<DeadLetter> = fc.record({
  kind: fc.constant('dead-letter'),
  code: text,
  message: text,
  topic: text,
  partition: fc.nat(),
  offset: signed64,
  payload: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
})

/** Generates any event of the log. */
export const logEvent: fc.Arbitrary<LogEvent> = fc.oneof(change, watermark, flush, purgeCommand, deadLetter)

/** Generates any control message. */
export const controlMessage: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({ kind: fc.constant('echo'), redisTimeUs: fc.stringMatching(/^\d{1,16}$/) }),
  fc.record({ kind: fc.constant('new-generation'), above: generation, reason: text, edge: fc.boolean() }),
)
