import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { MAX_RULES_PER_TABLE } from './rules-parser.ts'
import { RULES_SCHEMA, rulesSchemaText } from './rules-schema.ts'
import { parseRules } from './rules.ts'

const fits = (file: unknown) => Value.Check(RULES_SCHEMA, file)

function parses(file: unknown): boolean {
  try {
    parseRules(stringify(file))
    return true
  } catch {
    return false
  }
}

/** Mostly right, so that files with one fault and none are as frequent as hopeless ones. */
function mostly(right: fc.Arbitrary<unknown>, ...wrong: unknown[]): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 15, arbitrary: right }, { weight: 1, arbitrary: fc.constantFrom(...wrong) })
}

const tag = mostly(
  fc.constantFrom('p', 'p:{id}', 'p:{a}:{b}'),
  '{id}',
  'p{id}',
  'p:{',
  'p:{}',
  ':p',
  'p:}',
  '',
  7,
  null,
)
const on = mostly(
  fc.subarray(['insert', 'update', 'delete'], { minLength: 1 }),
  [],
  ['upsert'],
  [1],
  ['insert', 'insert'],
  'update',
)
const watch = mostly(fc.subarray(['a', 'b'], { minLength: 1 }), [], [''], [1], ['a', 'a'], 'a')
const rule = mostly(
  fc.record({ tag, on, watch }, { requiredKeys: ['tag'] }),
  null,
  5,
  'tag',
  [],
  { tag: 'a', extra: 1 },
  {},
)
const tooMany = Array.from({ length: MAX_RULES_PER_TABLE + 1 }, () => ({ tag: 'p' }))
const rules = mostly(fc.array(rule, { minLength: 1, maxLength: 3 }), [], null, 'rules', {}, tooMany)
const table = fc.oneof(
  { weight: 15, arbitrary: fc.constantFrom('t', 'public.u', 'stock.levels') },
  { weight: 1, arbitrary: fc.constantFrom('a.b.c', '', '.', 'x.') },
)
const file = mostly(
  fc.record({ tables: fc.dictionary(table, rules, { minKeys: 1, maxKeys: 2 }) }),
  null,
  [],
  {},
  { tables: 1 },
  { tables: {} },
  { tables: { t: [{ tag: 'a' }] }, extra: 1 },
)

describe('schemas/rules-schema', () => {
  test('the file for editors is the one the source gives (else run generate.ts)', () => {
    const written = readFileSync(new URL('../lockstep.rules.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(written)).toStrictEqual(JSON.parse(rulesSchemaText()))
  })

  test('what the parser takes fits the schema, and what fits is refused only for `watch` without update', () => {
    let [taken, refused] = [0, 0]
    fc.assert(
      fc.property(file, (content) => {
        const parsed = parses(content)
        if (parsed) taken++
        else refused++
        expect(fits(content)).toBe(parsed || (hasIdleWatch(content) && fits(content)))
      }),
      { numRuns: 2000 },
    )
    expect(Math.min(taken, refused)).toBeGreaterThan(200)
  })
})

/** The one rule of the parser that the schema does not know. */
function hasIdleWatch(content: unknown): boolean {
  const tables = Object.values((content as { tables?: Record<string, unknown> } | null)?.tables ?? {})
  const items = tables.flat() as ({ on?: unknown[]; watch?: unknown[] } | null)[]
  return items.some((item) => item?.watch && item.on && !item.on.includes('update'))
}
