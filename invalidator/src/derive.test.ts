import { encodeEvent } from '@lockstep/schemas'
import type { DeadLetter, RuleSet } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { TAGS_UNDERIVABLE, UNEXPECTED_RECORD, deriveItem } from './derive.ts'
import { RULES, flush, productChange, stampAt, watermark } from './testing/rig.ts'

const origin = { topic: 'changes', partition: 2 }
const stamp = stampAt(1, 7)
const derive = (value: Buffer, rules: RuleSet = RULES) => deriveItem(rules, { offset: 5n, key: null, value }, origin)
const tagsOfItem = (item: ReturnType<typeof derive>) =>
  item.kind === 'change' ? item.effects.map(({ tag }) => tag) : []

/** Rules whose table breaks whoever reads its columns: no valid rule file makes tag derivation throw. */
const brokenRules = (table: string): RuleSet => {
  const rules = new Proxy(
    { table, classes: ['product', 'category'] },
    {
      get: (target, key) => {
        if (key === 'classes') return target.classes
        throw new Error('derivation fails')
      },
    },
  )
  return { tables: new Map([[table, rules as never]]) }
}

describe('invalidator/derive', () => {
  test('both the old and the new row are made wrong', () => {
    const moved = productChange(4, stamp, {
      before: { id: '4', category_id: '1' },
      after: { id: '4', category_id: '2' },
    })
    const tags = tagsOfItem(derive(encodeEvent(moved)))
    expect(tags.toSorted()).toEqual(['category:1', 'category:2', 'product:4'])
  })

  test('a changed primary key makes both keys wrong', () => {
    const renamed = productChange(4, stamp, {
      before: { id: '4', category_id: '1' },
      after: { id: '9', category_id: '1' },
    })
    expect(tagsOfItem(derive(encodeEvent(renamed)))).toEqual(expect.arrayContaining(['product:4', 'product:9']))
  })

  test('truncate fences the classes of the table', () => {
    const item = derive(encodeEvent(productChange(4, stamp, { op: 'truncate', before: {}, after: {} })))
    expect(tagsOfItem(item)).toEqual(expect.arrayContaining(['product:*', 'category:*']))
  })

  test('watermarks and flushes keep what they carry', () => {
    expect(derive(encodeEvent(watermark(stamp)))).toMatchObject({ kind: 'watermark', generation: 1, offset: 5n })
    expect(derive(encodeEvent(flush(3)))).toMatchObject({ kind: 'flush', generation: 3 })
  })

  test('bytes that are no event become a dead letter with origin, code and bytes', () => {
    const value = Buffer.from('c301000000', 'hex')
    const item = derive(value)
    expect(item).toMatchObject({ kind: 'unreadable', letter: { ...origin, offset: 5n, payload: value } })
    expect(item.kind === 'unreadable' && item.letter.code).toMatch(/^LOCKSTEP_SCHEMA_/)
  })

  test('an event that is no change is a dead letter too', () => {
    const stray: DeadLetter = {
      kind: 'dead-letter',
      code: 'X',
      message: '',
      ...origin,
      offset: 1n,
      payload: Buffer.of(),
    }
    expect(derive(encodeEvent(stray))).toMatchObject({ kind: 'unreadable', letter: { code: UNEXPECTED_RECORD } })
  })

  test('a change whose tags cannot be derived fences its classes at its own stamp', () => {
    const item = derive(encodeEvent(productChange(4, stamp)), brokenRules('public.products'))
    expect(item).toMatchObject({ kind: 'change', letter: { code: TAGS_UNDERIVABLE } })
    expect(item.kind === 'change' && item.effects).toMatchObject([
      { tag: 'product:*', stamp },
      { tag: 'category:*', stamp },
    ])
  })
})
