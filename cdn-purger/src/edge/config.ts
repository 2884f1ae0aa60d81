import { loadConfig } from '@lockstep/runtime'
import type { ConfigOf, ConfigTable } from '@lockstep/runtime'
import { Type } from 'typebox'

/** Options of the mini edge, `LOCKSTEP_EDGE_*`. */
export const EDGE_CONFIG = {
  originUrl: {
    env: 'LOCKSTEP_EDGE_ORIGIN_URL',
    type: Type.String({ pattern: '^http://' }),
    desc: 'Where responses come from: the API, or the next tier towards it.',
  },
  host: {
    env: 'LOCKSTEP_EDGE_HOST',
    type: Type.String({ minLength: 1 }),
    default: '127.0.0.1',
    desc: 'Address to listen on.',
  },
  port: {
    env: 'LOCKSTEP_EDGE_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 8_090,
    desc: 'Port for readers; 0 takes any free one.',
  },
  purgePort: {
    env: 'LOCKSTEP_EDGE_PURGE_PORT',
    type: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: 8_091,
    desc: "Port of Fastly's purge API; 0 takes any free one.",
  },
  serviceId: {
    env: 'LOCKSTEP_EDGE_SERVICE_ID',
    type: Type.String({ pattern: '^[A-Za-z0-9_-]+$' }),
    default: 'edge',
    desc: 'Service id in the path of the purge API.',
  },
  token: {
    env: 'LOCKSTEP_EDGE_TOKEN',
    type: Type.String({ minLength: 1 }),
    secret: true,
    desc: 'Value that Fastly-Key must have.',
  },
  maxBytes: {
    env: 'LOCKSTEP_EDGE_MAX_BYTES',
    type: Type.Integer({ minimum: 1_024 }),
    default: 67_108_864,
    unit: 'bytes',
    desc: 'Bound of the store.',
  },
} as const satisfies ConfigTable

/** Reads the options from environment and flags. @throws LOCKSTEP_CFG_INVALID naming every fault. */
export function readEdgeConfig(): ConfigOf<typeof EDGE_CONFIG> {
  return loadConfig(EDGE_CONFIG, { env: process.env, argv: process.argv.slice(2) })
}
