export { DEFAULT_ORDER, readServersConfig, type ServersConfig, type ServerSource } from './config.ts'
export { SERVERS_ERRORS, ServersError, type ServersDisposition, type ServersErrorCode } from './errors.ts'
export type { FaultyLink, FaultyLinks, Toxic } from './faulty-link.ts'
export { freePort } from './free-port.ts'
export { startHaproxy, type BalancedReplica, type Haproxy } from './haproxy.ts'
export { startKafka, type KafkaOptions, type KafkaServer } from './kafka.ts'
export { startPostgres, type PostgresOptions, type PostgresServer, type RestartMode } from './postgres.ts'
export { ensureProgram, WRK, type Program } from './programs.ts'
export { ensurePrometheus, startPrometheus, type PrometheusPrograms, type PrometheusServer } from './prometheus.ts'
export { startRedis, type RedisOptions, type RedisServer } from './redis.ts'
export { startRedisCluster, type ClusterServers } from './redis-cluster.ts'
export { startSentinels, type SentinelServers } from './redis-sentinel.ts'
export { childrenOf, isRunning } from './processes.ts'
export { guard, type Guarded } from './reaper.ts'
export type { RunningServer, ServerNeeds } from './server.ts'
export { startFaultyLinks } from './toxiproxy.ts'
export {
  ensureVarnish,
  findVarnish,
  hasVarnish,
  startVarnish,
  type VarnishOptions,
  type VarnishServer,
} from './varnish.ts'
export { pollUntil } from './wait.ts'
