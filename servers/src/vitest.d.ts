import 'vitest'

declare module 'vitest' {
  /** What the global setups under scripts/vitest provide: `inject('redisUrl')` in a `*.redis.test.ts`, and so on. */
  interface ProvidedContext {
    redisUrl: string
    /** Postgres 18. */
    postgresUrl: string
    /** Empty where no Postgres 15 is to be had; its tests then skip themselves. */
    postgres15Url: string
    kafkaBrokers: string[]
    /** The path of `varnishd`. */
    varnishBinary: string
  }
}
