/** Writes edge.vcl and shield.vcl, the configuration of the stack's two Varnish tiers: `node scripts/run.mjs docker/render-vcl.ts`. */
import { writeFileSync } from 'node:fs'
import { edgeVcl } from '@lockstep/cdn-purger'

// The network `purge` of compose.yaml. Each tier asks the next one through the balancer (haproxy.cfg).
const shared = { purgers: ['10.213.77.0/28'], tokenEnv: 'LOCKSTEP_PURGE_TOKEN' }

/** What the files must hold: each tier asks the next one towards the origin. */
export const VCL: Readonly<Record<'edge.vcl' | 'shield.vcl', string>> = {
  'edge.vcl': edgeVcl({ ...shared, backendHost: 'balancer', backendPort: 8081 }),
  'shield.vcl': edgeVcl({ ...shared, name: 'lockstep-shield', backendHost: 'balancer', backendPort: 3000 }),
}

if (import.meta.main)
  for (const [file, text] of Object.entries(VCL)) writeFileSync(new URL(file, import.meta.url), text)
