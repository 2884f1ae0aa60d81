import { describe, expect, test } from 'vitest'
import { fingerprint64 } from './fingerprint.ts'

describe('schemas/fingerprint', () => {
  // Vectors of the Avro project's share/test/data/schema-tests.txt.
  test.each([
    ['"null"', '63dd24e7cc258f8a'],
    ['"int"', '7275d51a3f395c8f'],
    ['"string"', '8f014872634503c7'],
  ])('the fingerprint of %s is that of the specification', (canonicalForm, expected) => {
    expect(fingerprint64(canonicalForm).toString(16)).toBe(expected)
  })
})
