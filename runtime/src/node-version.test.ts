import { describe, expect, test } from 'vitest'
import { assertNodeVersion } from './node-version.ts'

describe('runtime/node-version', () => {
  test('Node 24 and later are accepted', () => {
    for (const found of ['24.0.0', '25.1.0', '100.0.0']) expect(() => assertNodeVersion(found)).not.toThrow()
  })

  test('an older Node is refused with the way to start', () => {
    const refusal = { code: 'LOCKSTEP_CFG_NODE_VERSION', message: expect.stringContaining('npm run') as string }
    expect(() => assertNodeVersion('20.19.5')).toThrow(expect.objectContaining(refusal))
  })
})
