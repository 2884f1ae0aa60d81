import { describe, expect, test } from 'vitest'
import { edgeVcl } from './edge-vcl.ts'

const OPTIONS = { backendHost: 'api', backendPort: 8_080 }

describe('cdn-purger/edge-vcl', () => {
  test('names backend, purgers and the token variable', () => {
    const vcl = edgeVcl({ ...OPTIONS, purgers: ['10.0.0.0/8', '::1'], tokenEnv: 'MY_TOKEN' })
    expect(vcl).toContain('.host = "api";')
    expect(vcl).toContain('.port = "8080";')
    expect(vcl).toContain('"10.0.0.0"/8;')
    expect(vcl).toContain('std.getenv("MY_TOKEN")')
    expect(vcl).not.toContain('@TOKEN@')
  })

  test.for([
    { ...OPTIONS, backendHost: 'a"; }' },
    { ...OPTIONS, backendPort: 0 },
    { ...OPTIONS, backendPort: 1.5 },
    { ...OPTIONS, purgers: ['10.0.0.0"/8'] },
    { ...OPTIONS, purgers: ['everywhere'] },
    { ...OPTIONS, tokenEnv: 'X"' },
    { ...OPTIONS, name: 'a; hit' },
  ])('refuses what could break out of its place: %j', (options) => {
    expect(() => edgeVcl(options)).toThrow(RangeError)
  })
})
