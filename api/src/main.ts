import { assertNodeVersion, createLogger, Lifecycle, loadConfig } from '@lockstep/runtime'
import { startApi } from './compose.ts'
import type { RunningApi } from './compose.ts'
import { API_OPTIONS } from './config.ts'

assertNodeVersion()
const log = createLogger({ service: 'api' })
const lifecycle = new Lifecycle({ log })
let service: RunningApi | undefined

lifecycle.add({
  name: 'api',
  start: async () => {
    service = await startApi(loadConfig(API_OPTIONS, { env: process.env, argv: process.argv.slice(2) }), { log })
  },
  stop: () => service?.stop(),
})
await lifecycle.run()
