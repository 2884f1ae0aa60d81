import { assertNodeVersion, createLogger, Lifecycle } from '@lockstep/runtime'
import { readEdgeConfig } from './config.ts'
import { startMiniEdge } from './mini-edge.ts'
import type { MiniEdge } from './mini-edge.ts'

assertNodeVersion()
const log = createLogger({ service: 'edge', fd: 2 })
const lifecycle = new Lifecycle({ log })
let edge: MiniEdge | undefined
lifecycle.add({
  name: 'edge',
  start: async () => {
    edge = await startMiniEdge(readEdgeConfig())
    // One line on stdout tells a parent process where the edge listens.
    process.stdout.write(`${JSON.stringify({ url: edge.url, purgeUrl: edge.purgeUrl })}\n`)
  },
  stop: async () => edge?.stop(),
})
await lifecycle.run()
