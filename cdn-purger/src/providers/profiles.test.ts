import { encodeSurrogateKey, parseTag } from '@lockstep/schemas'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { testProvider } from '../testing/providers.ts'
import { PROFILES } from './profiles.ts'
import type { ProviderKind } from './profile.ts'

const kinds = Object.keys(PROFILES) as ProviderKind[]
const never = new AbortController().signal

function isTag(text: string): boolean {
  try {
    return parseTag(text) === text
  } catch {
    return false
  }
}

describe('cdn-purger/profiles', () => {
  test.for(kinds)('every encoded tag is a key that %s takes, whatever its case rules', (kind) => {
    const { alphabet, maxBytes } = PROFILES[kind].keys
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter(isTag), (text) => {
        const key = encodeSurrogateKey(parseTag(text))
        expect(key).toMatch(alphabet)
        expect(key).toBe(key.toLowerCase())
        expect(key.length).toBeLessThanOrEqual(maxBytes)
      }),
    )
  })

  test.for(kinds)('a key outside the alphabet of %s is refused before anything is sent', async (kind) => {
    // Nobody listens there: a request would be unavailable, not refused.
    const provider = testProvider(kind, { url: 'http://127.0.0.1:9', credentials: {} })
    for (const key of ['a b', 'ключ', 'x'.repeat(PROFILES[kind].keys.maxBytes + 1)])
      expect(await provider.purge(['a.1', key], never)).toMatchObject({ kind: 'refused' })
    await provider.close()
  })
})
