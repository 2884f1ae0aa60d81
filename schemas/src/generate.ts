// Writes what this room derives from its source: the JSON Schema of rules files, and golden bytes of a new wire version.
// Run: node -C lockstep-source schemas/src/generate.ts
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { SCHEMA_VERSIONS } from './avro-schemas.ts'
import { rulesSchemaText } from './rules-schema.ts'
import { fixtureOf, fixtureUrl, goldenEvents } from './testing/golden.ts'

writeFileSync(new URL('../lockstep.rules.schema.json', import.meta.url), rulesSchemaText())

// Fixtures are history: they are written once and never again.
const version = SCHEMA_VERSIONS.length
mkdirSync(fixtureUrl(version), { recursive: true })
for (const event of goldenEvents()) {
  const file = new URL(`${event.kind}.json`, fixtureUrl(version))
  if (!existsSync(file)) writeFileSync(file, fixtureOf(event))
}
