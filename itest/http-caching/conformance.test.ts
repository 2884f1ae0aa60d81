import { fileURLToPath } from 'node:url'
import { edgeVcl } from '@lockstep/cdn-purger'
import { startVarnish } from '@lockstep/servers'
import { beforeAll, describe, expect, test } from 'vitest'
import { startScriptedOrigin } from './origin.ts'
import { play, type Outcome } from './run.ts'
import { CHAPTERS, conformanceTable } from './table.ts'

const PAGE = fileURLToPath(new URL('../../docs/http-caching.md', import.meta.url))
const CASES = CHAPTERS.flatMap(([, cases]) => cases)

const builtinVcl = (port: number): string => `vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "${port}"; }
`

// Varnish keeps what has expired for 10 s more and what says nothing for 120 s; the edge's VCL does not rely on either.
const STRICT = ['default_ttl=0', 'default_grace=0', 'default_keep=3600'].flatMap((setting) => ['-p', setting])

/** Plays all cases at once through a Varnish of its own: most of their time they wait for lifetimes to end. */
async function playAll(name: string, vclFor: (port: number) => string, args: string[] = []): Promise<Outcome[]> {
  const origin = await startScriptedOrigin()
  const varnish = await startVarnish({ vcl: vclFor(origin.port), needs: 'process', args })
  try {
    return await Promise.all(CASES.map((law, index) => play(law, `${name}-${index}`, varnish.url, origin)))
  } finally {
    await varnish.stop()
    await origin.close()
  }
}

describe('itest/http-caching', () => {
  let edge: Outcome[] = []
  let builtin: Outcome[] = []
  beforeAll(async () => {
    edge = await playAll('edge', (backendPort) => edgeVcl({ backendHost: '127.0.0.1', backendPort }))
    builtin = await playAll('builtin', builtinVcl, STRICT)
  })
  test('the cases are at least eighty, and each names its section', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(80)
    for (const { section } of CASES) expect(section).toMatch(/^RFC (?:9111|9110|9211|9213|5861|8941) \d+(?:\.\d+)*$/)
    expect(new Set(CASES.map(({ name, section }) => `${section} ${name}`)).size).toBe(CASES.length)
  })

  test('the edge breaks no MUST', () => {
    const broken = edge.filter(({ law, failure }) => law.level === 'MUST' && failure !== null)
    expect(broken.map(({ law, failure }) => `${law.section}: ${law.name}: ${failure}`)).toEqual([])
  })

  test("the edge passes more cases than Varnish's built-in configuration", () => {
    const passed = (outcomes: Outcome[]): number => outcomes.filter(({ failure }) => failure === null).length
    expect(passed(edge)).toBeGreaterThan(passed(builtin))
  })

  test('the page shows what came out', async () => {
    await expect(conformanceTable(edge, builtin)).toMatchFileSnapshot(PAGE)
  })
})
