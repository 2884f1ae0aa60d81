/** What we use of Fastly's own client, which comes without types. */
declare module 'fastly' {
  export interface ApiClient {
    authenticate(token: string): void
    buildUrl(path: string, params: object, reserved: object, base: string | null): string
  }

  export interface PurgeApi {
    readonly apiClient: ApiClient
    purgeTag(options: { service_id: string; surrogate_key: string }): Promise<{ status: string; id: string }>
    bulkPurgeTag(options: {
      service_id: string
      purge_response: { surrogate_keys: string[] }
    }): Promise<Record<string, string>>
    purgeAll(options: { service_id: string }): Promise<{ status: string }>
  }

  const client: {
    readonly ApiClient: { readonly instance: ApiClient }
    readonly PurgeApi: new () => PurgeApi
  }
  export default client
}
