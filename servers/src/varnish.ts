import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readServersConfig, type ServersConfig, type ServerSource } from './config.ts'
import { dockerHasImage, startContainer } from './docker.ts'
import { ServersError } from './errors.ts'
import { findBinary } from './find-binary.ts'
import { freePort } from './free-port.ts'
import { installHint, installPackages, type PackageNames } from './package-manager.ts'
import { startOwnServer } from './own-server.ts'
import { firstOffer } from './provider.ts'
import { extended, type RunningServer, type ServerNeeds } from './server.ts'
import { accepts } from './wait.ts'
import { makeWorkDir } from './work-dir.ts'

const IMAGE = 'varnish:7.7'
const PACKAGES: PackageNames = {
  apt: ['varnish', 'varnish-modules'],
  dnf: ['varnish', 'varnish-modules'],
  apk: ['varnish'],
  brew: ['varnish'],
}
/** With these a 57 kB Surrogate-Key header is cached and a purge of 1,500 keys in one header is answered. */
const LIMITS = [
  ['http_req_hdr_len', '64k'],
  ['http_req_size', '128k'],
  ['http_resp_hdr_len', '64k'],
  ['http_resp_size', '128k'],
  ['workspace_client', '256k'],
  ['workspace_backend', '256k'],
].flatMap(([name, value]) => ['-p', `${name}=${value}`])

/** Chooses how Varnish runs. */
export interface VarnishOptions extends ServerNeeds {
  /** The whole configuration; `@BACKEND_PORT@` in it becomes `backendPort`. */
  readonly vcl: string
  readonly backendPort?: number | undefined
  /** What the VCL reads by `std.getenv`, such as the purge token. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Listens on a socket file too, `socketPath`; implies a process of this machine. */
  readonly socket?: boolean | undefined
  /** 64 MB by default. */
  readonly storage?: string | undefined
  /** Added last to the command line of `varnishd`. */
  readonly args?: readonly string[] | undefined
}

/** Is a Varnish that accepts requests on 127.0.0.1. Its cache is empty after a restart. */
export interface VarnishServer extends RunningServer {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Undefined unless `socket` was asked for. */
  readonly socketPath: string | undefined
}

/** Finds `varnishd` on this machine; undefined when it is not installed. */
export const findVarnish = (path: string = readServersConfig().path): string | undefined => findBinary('varnishd', path)

/** Tells whether Varnish is installed on this machine; installs nothing. */
export const hasVarnish = (): boolean => findVarnish() !== undefined

/** Says what Varnish may be found by; the tests of the search give their own. */
export interface VarnishFinder {
  readonly find: (path: string) => string | undefined
  readonly install: (names: PackageNames, path: string) => Promise<boolean>
}

const FINDER: VarnishFinder = { find: findVarnish, install: installPackages }
const REMEDY = `start Docker with the image ${IMAGE}, or ${installHint(PACKAGES)}`

/** Finds `varnishd`, installing it where that is allowed; throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy. */
export function ensureVarnish(
  config: ServersConfig = readServersConfig(),
  finder: VarnishFinder = FINDER,
): Promise<string> {
  const find = () => Promise.resolve(finder.find(config.path))
  const install = async () => ((await finder.install(PACKAGES, config.path)) ? find() : undefined)
  return firstOffer({ what: 'varnishd', remedy: REMEDY, sources: { binary: find, package: install } }, config)
}

function configuration(options: VarnishOptions): string {
  const { vcl, backendPort } = options
  if (!vcl.includes('@BACKEND_PORT@')) return vcl
  if (backendPort === undefined) {
    throw new ServersError('LOCKSTEP_SRV_START', 'the VCL has @BACKEND_PORT@; pass backendPort')
  }
  return vcl.replaceAll('@BACKEND_PORT@', `${backendPort}`)
}

/** The arguments that are the same for a process and a container; no command port, so nobody can reconfigure it. */
const commonArgs = (port: number, options: VarnishOptions): string[] => [
  '-F',
  '-a',
  `127.0.0.1:${port}`,
  '-T',
  'none',
  '-s',
  `malloc,${options.storage ?? '64m'}`,
  ...LIMITS,
]

async function startBinary(file: string, options: VarnishOptions, source: ServerSource): Promise<VarnishServer> {
  const vcl = configuration(options)
  const work = makeWorkDir('varnish')
  const port = await freePort()
  const vclFile = join(work.path, 'edge.vcl')
  const socketPath = options.socket === true ? join(work.path, 'edge.sock') : undefined
  writeFileSync(vclFile, vcl)
  // As root it drops to its own user, which must be able to make the socket file here.
  chmodSync(work.path, socketPath === undefined ? 0o755 : 0o777)
  const jail = process.getuid?.() === 0 ? [] : ['-j', 'none']
  const socket = socketPath === undefined ? [] : ['-a', `uds=${socketPath},mode=666`]
  const place = ['-n', join(work.path, 'run'), '-f', vclFile]
  const args = [...jail, ...commonArgs(port, options), ...place, ...socket, ...(options.args ?? [])]
  const command = { name: 'varnishd', file, args, cwd: work.path, env: options.env, reapSignal: 'TERM' } as const
  const server = await startOwnServer({ work, command: () => command, isReady: () => accepts(port) })
  return extended(server, { source, ...addressOf(port), socketPath })
}

const addressOf = (port: number) => ({ url: `http://127.0.0.1:${port}`, host: '127.0.0.1', port })

async function startDocker(options: VarnishOptions): Promise<VarnishServer | undefined> {
  const port = await freePort()
  const target = '/etc/varnish/edge.vcl'
  const server = await startContainer({
    what: 'Varnish',
    image: IMAGE,
    // The backend is a process of this machine that listens on 127.0.0.1 only.
    ports: 'host',
    files: [{ content: configuration(options), target }],
    env: { ...options.env },
    command: ['varnishd', ...commonArgs(port, options), '-f', target, ...(options.args ?? [])],
    readyLog: /Child \(?\d+\)? (Started|said Child starts)/,
    probe: () => accepts(port),
  })
  if (server === undefined) return undefined
  return extended(server, { ...addressOf(port), socketPath: undefined })
}

/**
 * Starts a real Varnish with the given VCL; each call is a cache of its own, so two calls make two tiers.
 * Throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy, `LOCKSTEP_SRV_START` with the compiler's words on a VCL fault.
 */
export function startVarnish(
  options: VarnishOptions,
  config: ServersConfig = readServersConfig(),
  finder: VarnishFinder = FINDER,
): Promise<VarnishServer> {
  // Only Linux gives a container the host's network, by which it reaches the backend.
  const canBeDocker = options.needs === undefined && options.socket !== true && process.platform === 'linux'
  const binary = async (source: ServerSource) => {
    const file = finder.find(config.path)
    return file === undefined ? undefined : startBinary(file, options, source)
  }
  return firstOffer<VarnishServer>(
    {
      what: 'Varnish',
      remedy: REMEDY,
      sources: {
        docker: async () =>
          canBeDocker && (await dockerHasImage(IMAGE, config.dockerHost)) ? startDocker(options) : undefined,
        binary: () => binary('binary'),
        package: async () => ((await finder.install(PACKAGES, config.path)) ? binary('package') : undefined),
      },
    },
    config,
  )
}
