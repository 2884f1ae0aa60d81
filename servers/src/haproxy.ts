import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readServersConfig, type ServersConfig } from './config.ts'
import { freePort } from './free-port.ts'
import { startOwnServer } from './own-server.ts'
import { ensureProgram, HAPROXY } from './programs.ts'
import { extended } from './server.ts'
import { accepts } from './wait.ts'
import { makeWorkDir } from './work-dir.ts'

/** One replica behind the balancer, on this machine. */
export interface BalancedReplica {
  readonly port: number
  /** Where it answers the check path. */
  readonly checkPort: number
}

/** A balancer for HTTP on 127.0.0.1. */
export interface Haproxy {
  readonly url: string
  log(): string
  stop(): Promise<void>
}

const CHECK_INTERVAL_MS = 100

/**
 * One failed check takes a replica out, one good one back in. What a replica did not answer at all is asked of another, but
 * only where asking twice is harmless.
 */
const configuration = (port: number, checkPath: string, replicas: readonly BalancedReplica[]): string => `
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 15s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
frontend in
  bind 127.0.0.1:${port}
  http-request disable-l7-retry unless METH_GET
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET ${checkPath}
  default-server check inter ${CHECK_INTERVAL_MS}ms fall 1 rise 1
${replicas.map((replica, index) => `  server replica${index} 127.0.0.1:${replica.port} check port ${replica.checkPort}`).join('\n')}
`

/** Starts a real HAProxy in front of replicas. Throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy. */
export async function startHaproxy(
  options: { readonly replicas: readonly BalancedReplica[]; readonly checkPath: string },
  config: ServersConfig = readServersConfig(),
): Promise<Haproxy> {
  const file = await ensureProgram(HAPROXY, config)
  const work = makeWorkDir('haproxy')
  const port = await freePort()
  const configFile = join(work.path, 'haproxy.cfg')
  writeFileSync(configFile, configuration(port, options.checkPath, options.replicas))
  // In the foreground, one process.
  const args = ['-db', '-f', configFile]
  const command = { name: 'haproxy', file, args, cwd: work.path, reapSignal: 'TERM' } as const
  const server = await startOwnServer({ work, command: () => command, isReady: () => accepts(port) })
  return extended(server, { url: `http://127.0.0.1:${port}` })
}
