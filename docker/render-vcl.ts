/** Writes edge.vcl, the configuration of the stack's Varnish: `node scripts/run.mjs docker/render-vcl.ts`. */
import { writeFileSync } from 'node:fs'
import { edgeVcl } from '@lockstep/cdn-purger'

/** What edge.vcl must hold. */
export const EDGE_VCL: string = edgeVcl({
  backendHost: 'api-1',
  backendPort: 3000,
  // The network `purge` of compose.yaml.
  purgers: ['10.213.77.0/28'],
  tokenEnv: 'LOCKSTEP_PURGE_TOKEN',
})

if (import.meta.main) writeFileSync(new URL('edge.vcl', import.meta.url), EDGE_VCL)
