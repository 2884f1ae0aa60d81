import { readServersConfig, type ServersConfig, type ServerSource } from '../config.ts'

/** Makes a configuration that allows one source only, whatever the environment says. */
export const only = (...order: ServerSource[]): ServersConfig => ({
  ...readServersConfig({ PATH: process.env['PATH'], HOME: process.env['HOME'] }),
  order,
})
