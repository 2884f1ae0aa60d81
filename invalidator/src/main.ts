import { Lifecycle, createLogger, createMetrics, loadConfig, startAdminServer } from '@lockstep/runtime'
import type { AdminServer } from '@lockstep/runtime'
import { startInvalidator } from './compose.ts'
import type { RunningInvalidator } from './compose.ts'
import { INVALIDATOR_CONFIG } from './config.ts'
import { readyReasons } from './readiness.ts'

const bootLogger = createLogger({ service: 'invalidator' })
const lifecycle = new Lifecycle({ log: bootLogger })
let service: RunningInvalidator | undefined
let admin: AdminServer | undefined

lifecycle.add({
  name: 'invalidator',
  start: async () => {
    const config = loadConfig(INVALIDATOR_CONFIG, { env: process.env, argv: process.argv.slice(2) })
    const metrics = createMetrics()
    const running = await startInvalidator(config, { metrics })
    service = running
    running.closed.catch((error: unknown) => lifecycle.fail(error))
    admin = await startAdminServer({
      host: config.adminHost,
      port: config.adminPort,
      portOption: INVALIDATOR_CONFIG.adminPort.env,
      metrics,
      health: () => readyReasons(running.status(), lifecycle.draining),
      status: () => running.status(),
    })
  },
  stop: async () => {
    await service?.stop()
    await admin?.close()
  },
})
await lifecycle.run()
