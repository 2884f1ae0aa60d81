import { API_OPTIONS, startApi } from '@lockstep/api'
import { serviceCommand } from '../service-command.ts'

/** `lockstep api`: the demo shop, with an admin port of its own. */
export const command = serviceCommand({
  name: 'api',
  options: API_OPTIONS,
  start: (config, { log, metrics }) => startApi(config, { log, metrics }),
})
