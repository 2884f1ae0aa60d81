export interface RedisStoreOptions {
  readonly namespace: string
}
