import type { WireField, WireSchema } from '../avro-schemas.ts'

/**
 * Lists why records of one schema cannot be read as the other, in either direction (Avro's FULL compatibility); for a
 * transitive check compare every pair of versions. Compares whole schemas: avsc's fingerprint ignores defaults.
 */
export function compatibilityFaults(older: WireSchema, newer: WireSchema): string[] {
  if (older.name !== newer.name) return [`${older.name} became ${newer.name}: a record is never renamed`]
  return [...missing(older, newer, 'removed'), ...missing(newer, older, 'added'), ...retyped(older, newer)]
}

function missing(from: WireSchema, to: WireSchema, what: string): string[] {
  return from.fields
    .filter((field) => !fieldOf(to, field.name) && field.default === undefined)
    .map((field) => `${from.name}.${field.name}: ${what} without a default`)
}

function retyped(older: WireSchema, newer: WireSchema): string[] {
  return older.fields.flatMap((field) => {
    const successor = fieldOf(newer, field.name)
    if (!successor || JSON.stringify(shapeOf(field)) === JSON.stringify(shapeOf(successor))) return []
    return [`${older.name}.${field.name}: changed its type`]
  })
}

/** An enum may gain symbols, because every enum has a default; anything else stays as it is. */
function shapeOf(field: WireField): unknown {
  return typeof field.type === 'string' ? field.type : { name: field.type.name, default: field.type.default }
}

function fieldOf(schema: WireSchema, name: string): WireField | undefined {
  return schema.fields.find((field) => field.name === name)
}
