export {
  assertSource,
  checkSource,
  prepareSql,
  startConnector,
  type AssertOptions,
  type RunningConnector,
  type StartDeps,
} from './compose.ts'
export { CONNECTOR_CONFIG, type ConnectorConfig } from './config.ts'
export { createConnector, type Connector, type ConnectorDeps, type ConnectorStatus } from './connector.ts'
export { CONNECTOR_ERRORS } from './errors.ts'
export { createConnectorMetrics } from './metrics.ts'
export type * from './ports.ts'
export { runPreflight } from './preflight.ts'
export type { Check, PreflightConfig } from './check.ts'
export { readyReasons } from './readiness.ts'
