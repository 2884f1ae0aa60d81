import type { LogBatch } from '@lockstep/runtime'

/** A batch of one partition whose records hold these texts, and what became of it. */
export function logBatch(
  texts: readonly (string | Buffer)[],
  { topic = 'shop-orders', partition = 0, from = 0n, gap = 0n } = {},
): LogBatch & { readonly outcome: { committed: boolean; rewoundTo: bigint | null } } {
  const outcome: { committed: boolean; rewoundTo: bigint | null } = { committed: false, rewoundTo: null }
  const next = from + gap + BigInt(texts.length)
  return {
    topic,
    partition,
    firstOffset: from,
    nextOffset: next,
    endOffset: next,
    records: texts.map((text, index) => ({
      offset: from + gap + BigInt(index),
      key: null,
      value: Buffer.from(text),
    })),
    commit: () => void (outcome.committed = true),
    rewind: (offset) => void (outcome.rewoundTo = offset),
    outcome,
  }
}
