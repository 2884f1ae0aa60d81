import { readServersConfig, type ServersConfig } from './config.ts'
import { findBinary } from './find-binary.ts'
import { installHint, installPackages, type PackageNames } from './package-manager.ts'
import { firstOffer } from './provider.ts'

/** A program that tests or benchmarks run beside the servers: its name, and the packages that bring it. */
export interface Program {
  readonly name: string
  readonly packages: PackageNames
}

const same = (name: string): PackageNames => ({ apt: [name], dnf: [name], apk: [name], brew: [name] })

/** The HTTP load generator. */
export const WRK: Program = { name: 'wrk', packages: same('wrk') }

/** The load balancer. */
export const HAPROXY: Program = { name: 'haproxy', packages: same('haproxy') }

/** Finds a program of this machine, installing it where that is allowed; throws `LOCKSTEP_SRV_NOT_FOUND` naming the remedy. */
export function ensureProgram(
  { name, packages }: Program,
  config: ServersConfig = readServersConfig(),
  install: typeof installPackages = installPackages,
): Promise<string> {
  const find = () => Promise.resolve(findBinary(name, config.path))
  const sources = { binary: find, package: async () => ((await install(packages, config.path)) ? find() : undefined) }
  return firstOffer({ what: name, remedy: installHint(packages), sources }, config)
}
