import { Lifecycle, createLogger, createMetrics, loadConfig, startAdminServer } from '@lockstep/runtime'
import type { AdminServer } from '@lockstep/runtime'
import { startConnector } from './compose.ts'
import type { RunningConnector } from './compose.ts'
import { CONNECTOR_CONFIG } from './config.ts'
import { readyReasons } from './readiness.ts'

const lifecycle = new Lifecycle({ log: createLogger({ service: 'connector' }) })
let service: RunningConnector | undefined
let admin: AdminServer | undefined

lifecycle.add({
  name: 'connector',
  start: async () => {
    const config = loadConfig(CONNECTOR_CONFIG, { env: process.env, argv: process.argv.slice(2) })
    const metrics = createMetrics()
    const running = await startConnector(config, { metrics })
    service = running
    running.closed.catch((error: unknown) => lifecycle.fail(error))
    admin = await startAdminServer({
      host: config.adminHost,
      port: config.adminPort,
      portOption: CONNECTOR_CONFIG.adminPort.env,
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
