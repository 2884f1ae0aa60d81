import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** One run of wrk. */
export interface WrkResult {
  readonly requestsPerSecond: number
  readonly p99Ms: number
  readonly requests: number
  /** Answers of 400 and above, and connections that broke. */
  readonly failures: number
}

/** How wrk loads a server. */
export interface WrkLoad {
  readonly program: string
  readonly url: string
  readonly connections: number
  readonly seconds: number
  /** Product ids 1 to this are asked for in a scattered, fixed order. */
  readonly products: number
}

// Every request is formatted once; the step is prime to the count, so that neighbours follow each other nowhere.
const script = (products: number): string => `
local requests, at = {}, 0
function init()
  for id = 1, ${products} do requests[id] = wrk.format("GET", "/products/" .. id) end
end
function request()
  at = (at + 7919) % ${products}
  return requests[at + 1]
end
function done(summary, latency)
  local e = summary.errors
  local failures = e.connect + e.read + e.write + e.timeout + e.status
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(99), failures))
end
`

/** Asks for products on keep-alive connections as fast as they are answered, with one thread. */
export async function runWrk({ program, url, connections, seconds, products }: WrkLoad): Promise<WrkResult> {
  const work = mkdtempSync(join(tmpdir(), 'lockstep-wrk-'))
  try {
    const file = join(work, 'load.lua')
    writeFileSync(file, script(products))
    const child = spawn(program, ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', file, url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
    const found = /RESULT (\d+) (\d+) (\d+) (\d+)/.exec(output)?.slice(1).map(Number)
    const [requests = 0, durationUs = 1, p99Us = Number.NaN, failures = 0] = found ?? []
    if (!found) throw new Error(`wrk gave no result: ${output.slice(-500)}`)
    return { requests, failures, requestsPerSecond: (requests / durationUs) * 1e6, p99Ms: p99Us / 1000 }
  } finally {
    rmSync(work, { recursive: true })
  }
}
