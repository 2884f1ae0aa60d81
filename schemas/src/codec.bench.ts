// Measures the codec on one typical change. Run: node -C lockstep-source schemas/src/codec.bench.ts
import { decodeEvent, encodeEvent } from './codec.ts'
import type { Change } from './events.ts'
import type { Lsn } from './lsn.ts'
import { parseRules, tagsOf } from './rules.ts'
import type { Stamp } from './stamp.ts'

const RUNS = 300_000
const ROUNDS = 5

const change: Change = {
  kind: 'change',
  op: 'update',
  table: 'public.products',
  before: { id: '42', category_id: '7' },
  after: { id: '42', category_id: '8', price: null },
  stamp: '000000010000000000001234fffe' as Stamp,
  commitLsn: 0x16b374d848n as Lsn,
  index: 3,
  xid: 123_456n,
  commitTimeUs: 1_763_727_877_000_000n,
}
const rules = parseRules('tables: {products: [{tag: "product:{id}"}, {tag: "category:{category_id}"}]}')
const bytes = encodeEvent(change)

/** Reports the median round, in ns per call. */
function measure(name: string, call: () => unknown): void {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const start = process.hrtime.bigint()
    for (let run = 0; run < RUNS; run++) call()
    return Number(process.hrtime.bigint() - start) / RUNS
  }).toSorted((a, b) => a - b)
  process.stdout.write(`${name.padEnd(8)} ${rounds[ROUNDS >> 1]!.toFixed(0).padStart(6)} ns\n`)
}

process.stdout.write(`one change, ${bytes.length} bytes, Node ${process.versions.node}\n`)
measure('encode', () => encodeEvent(change))
measure('decode', () => decodeEvent(bytes))
measure('tags', () => tagsOf(rules, change))
