import { Type } from 'typebox'
import { MAX_RULES_PER_TABLE, ROW_OPS } from './rules-parser.ts'

const tag = Type.String({
  minLength: 1,
  pattern: '^[^:{}][^{}]*$|^[^:{}]+:[^{}]*(\\{[^{}]+\\}[^{}]*)+$',
  description: 'Tag template: a literal class, then text and {column} placeholders, as in product:{id}.',
  examples: ['product:{id}', 'products'],
})
const names = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { minItems: 1, uniqueItems: true, description })

const rule = Type.Object(
  {
    tag,
    on: Type.Optional(
      Type.Array(Type.String({ enum: [...ROW_OPS] }), {
        minItems: 1,
        uniqueItems: true,
        description: 'Row operations that count; all three when absent.',
      }),
    ),
    watch: Type.Optional(names('An update counts only when one of these columns, or a column of the tag, changed.')),
  },
  { additionalProperties: false },
)

/**
 * Describes `lockstep.rules.yaml` for editors. Written to `lockstep.rules.schema.json` by `generate.ts`; the parser has
 * its own checks, whose messages name a remedy, and a test holds the two together.
 */
export const RULES_SCHEMA = Type.Object(
  {
    tables: Type.Record(
      Type.String({ pattern: '^[^.]+(\\.[^.]+)?$' }),
      Type.Array(rule, { minItems: 1, maxItems: MAX_RULES_PER_TABLE }),
      {
        minProperties: 1,
        additionalProperties: false,
        description: 'Rules by schema.table; without a schema, public is meant.',
      },
    ),
  },
  { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'Lockstep rules', additionalProperties: false },
)

/** Writes the schema as the text of `lockstep.rules.schema.json`. */
export function rulesSchemaText(): string {
  return `${JSON.stringify(RULES_SCHEMA, null, 2)}\n`
}
