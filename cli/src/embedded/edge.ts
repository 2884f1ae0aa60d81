import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { edgeVcl } from '@lockstep/cdn-purger'
import { miniEdgeProgram } from '@lockstep/cdn-purger/testing'
import { guard, hasVarnish, startVarnish } from '@lockstep/servers'
import { childEnvironment } from '../environment.ts'

/** A shared HTTP cache in front of the API. */
export interface Edge {
  /** What it is, for people. */
  readonly name: string
  readonly url: string
  /** As the purger's `tiers` option names it. */
  readonly tier: string
  stop(): Promise<void>
}

const TOKEN_VARIABLE = 'LOCKSTEP_PURGE_TOKEN'

/** Starts Varnish where `varnishd` is installed, else our own small edge behind Fastly's purge API, in a process of its own. */
export async function startEdge(backendPort: number, token: string): Promise<Edge> {
  return hasVarnish() ? await varnishEdge(backendPort, token) : await miniEdge(backendPort, token)
}

async function varnishEdge(backendPort: number, token: string): Promise<Edge> {
  const vcl = edgeVcl({ backendHost: '127.0.0.1', backendPort, tokenEnv: TOKEN_VARIABLE })
  const varnish = await startVarnish({ vcl, env: { [TOKEN_VARIABLE]: token }, needs: 'process' })
  return { name: 'Varnish', url: varnish.url, tier: `varnish+${varnish.url}`, stop: () => varnish.stop() }
}

async function miniEdge(backendPort: number, token: string): Promise<Edge> {
  const child = spawn(process.execPath, [...process.execArgv, miniEdgeProgram()], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // A group of its own: Ctrl-C is the parent's to handle.
    detached: true,
    env: childEnvironment({
      LOCKSTEP_EDGE_ORIGIN_URL: `http://127.0.0.1:${backendPort}`,
      LOCKSTEP_EDGE_PORT: '0',
      LOCKSTEP_EDGE_PURGE_PORT: '0',
      LOCKSTEP_EDGE_TOKEN: token,
    }),
  })
  const exited = once(child, 'exit')
  if (child.pid !== undefined) void exited.finally(guard({ kind: 'process', pid: child.pid, signal: 'KILL' }))
  const lines = createInterface({ input: child.stdout })
  const [line] = (await once(lines, 'line')) as [string]
  const { url, purgeUrl } = JSON.parse(line) as { url: string; purgeUrl: string }
  return {
    name: 'mini edge',
    url,
    tier: `fastly+${purgeUrl}`,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}
