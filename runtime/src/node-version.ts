import { CONFIG_ERRORS } from './config.ts'
import { defineErrors } from './errors.ts'

const fail = defineErrors('runtime', CONFIG_ERRORS)

/** Throws where the running Node is older than 24, naming the remedy. */
export function assertNodeVersion(found: string = process.versions.node): void {
  if (Number.parseInt(found, 10) < 24) throw fail('LOCKSTEP_CFG_NODE_VERSION', { found })
}
