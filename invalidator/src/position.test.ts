import { describe, expect, test } from 'vitest'
import { createPartitionMemory, judge } from './position.ts'

const step = { from: 10n, firstOffset: 8n, holdsRecordFrom: (offset: bigint) => offset >= 8n }
const memory = createPartitionMemory()

describe('invalidator/position', () => {
  test('a position above the step means that it was applied before', () => {
    expect(judge({ kind: 'stands', offset: 12n }, step, memory)).toEqual({ kind: 'behind', below: 12n })
  })

  test('a position below the batch is asked from the log before anything counts as lost', () => {
    expect(judge({ kind: 'stands', offset: 5n }, step, memory)).toEqual({ kind: 'rewind', to: 5n })
  })

  test('a position inside the batch is delivered again, not taken for a hole', () => {
    expect(judge({ kind: 'stands', offset: 9n }, step, memory)).toEqual({ kind: 'rewind', to: 9n })
  })

  test('records are lost when the log was asked for them and began above', () => {
    const asked = { from: 10n, firstOffset: 5n, holdsRecordFrom: () => false }
    expect(judge({ kind: 'stands', offset: 5n }, asked, memory)).toEqual({ kind: 'broken', at: 5n, isNew: true })
  })

  test('records are lost when a rewind to them is answered by later ones', () => {
    const later = { from: 10n, firstOffset: 10n, holdsRecordFrom: () => false }
    const verdict = judge({ kind: 'stands', offset: 5n }, later, { ...memory, rewoundTo: 5n })
    expect(verdict).toEqual({ kind: 'broken', at: 5n, isNew: true })
  })

  test('records are lost that a rewind brought back and that moved nothing', () => {
    const verdict = judge({ kind: 'stands', offset: 9n }, step, { ...memory, rewoundTo: 9n })
    expect(verdict).toEqual({ kind: 'broken', at: 9n, isNew: true })
  })

  test('a known hole is not found anew', () => {
    const known = { ...memory, brokenAt: 5n }
    expect(judge({ kind: 'stands', offset: 5n }, step, known)).toEqual({ kind: 'broken', at: 5n, isNew: false })
  })

  test('another position than that of the known hole is judged afresh', () => {
    const known = { ...memory, brokenAt: 5n }
    expect(judge({ kind: 'stands', offset: 3n }, step, known)).toEqual({ kind: 'rewind', to: 3n })
  })
})
