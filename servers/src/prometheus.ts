import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readServersConfig, type ServersConfig } from './config.ts'
import { findBinary } from './find-binary.ts'
import { freePort } from './free-port.ts'
import { installHint, installPackages, type PackageNames } from './package-manager.ts'
import { startOwnServer } from './own-server.ts'
import { firstOffer } from './provider.ts'
import { extended } from './server.ts'
import { ask } from './wait.ts'
import { makeWorkDir } from './work-dir.ts'

const PACKAGES: PackageNames = {
  apt: ['prometheus'],
  dnf: ['golang-github-prometheus'],
  apk: ['prometheus'],
  brew: ['prometheus'],
}

/** The two programs of Prometheus: the server, and the checker of rules. */
export interface PrometheusPrograms {
  readonly prometheus: string
  readonly promtool: string
}

/** Is a Prometheus that answers; its data goes with it. */
export interface PrometheusServer {
  readonly url: string
  log(): string
  stop(): Promise<void>
}

/** Finds both programs, installing them where that is allowed; throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy. */
export function ensurePrometheus(
  config: ServersConfig = readServersConfig(),
  install: typeof installPackages = installPackages,
): Promise<PrometheusPrograms> {
  const find = async (): Promise<PrometheusPrograms | undefined> => {
    const prometheus = findBinary('prometheus', config.path)
    const promtool = findBinary('promtool', config.path)
    return Promise.resolve(prometheus && promtool ? { prometheus, promtool } : undefined)
  }
  const sources = { binary: find, package: async () => ((await install(PACKAGES, config.path)) ? find() : undefined) }
  return firstOffer({ what: 'Prometheus', remedy: installHint(PACKAGES), sources }, config)
}

/**
 * Starts a Prometheus on 127.0.0.1 with the given configuration; relative paths in it are meant from its work directory.
 * Throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy, `LOCKSTEP_SRV_START` with its log.
 */
export async function startPrometheus(configuration: string): Promise<PrometheusServer> {
  const { prometheus: file } = await ensurePrometheus()
  const work = makeWorkDir('prometheus')
  const port = await freePort()
  const configFile = join(work.path, 'prometheus.yml')
  writeFileSync(configFile, configuration)
  const args = [
    `--config.file=${configFile}`,
    `--storage.tsdb.path=${join(work.path, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const command = { name: 'prometheus', file, args, cwd: work.path, reapSignal: 'KILL' } as const
  const isReady = async () => / 200 /.test(await ask(port, 'GET /-/ready HTTP/1.0\r\n\r\n'))
  const server = await startOwnServer({ work, command: () => command, isReady })
  return extended(server, { url: `http://127.0.0.1:${port}` })
}
