import { assertNodeVersion, createLogger, createMetrics, Lifecycle, startAdminServer } from '@lockstep/runtime'
import type { AdminServer } from '@lockstep/runtime'
import { readPurgerConfig, startPurger } from './compose.ts'
import type { RunningPurger } from './compose.ts'
import { PURGER_CONFIG } from './config.ts'

assertNodeVersion()
const lifecycle = new Lifecycle({ log: createLogger({ service: 'cdn-purger' }) })
let service: RunningPurger | undefined
let admin: AdminServer | undefined

lifecycle.add({
  name: 'cdn-purger',
  start: async () => {
    const config = readPurgerConfig()
    const metrics = createMetrics()
    const running = await startPurger(config, { metrics })
    service = running
    running.closed.catch((error: unknown) => lifecycle.fail(error))
    admin = await startAdminServer({
      host: config.adminHost,
      port: config.adminPort,
      portOption: PURGER_CONFIG.adminPort.env,
      metrics,
      health: () => (lifecycle.draining ? { ready: false, reasons: ['draining'] } : { ready: true }),
      status: () => running.status(),
    })
  },
  stop: async () => {
    await service?.stop()
    await admin?.close()
  },
})
await lifecycle.run()
