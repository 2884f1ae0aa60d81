import { createHttpProvider } from '../adapters/http-provider.ts'
import type { EdgeProvider, PurgeLimits } from '../ports.ts'
import type { Credentials, ProviderKind } from '../providers/profile.ts'
import { PROFILES } from '../providers/profiles.ts'

/** How a test reaches an edge. */
export interface TestProviderOptions {
  readonly url: string
  readonly credentials: Credentials
  readonly name?: string
  readonly isSoft?: boolean
  readonly limits?: Partial<PurgeLimits>
  readonly timeoutMs?: number
}

/** Makes a provider on real clocks. */
export function testProvider(kind: ProviderKind, options: TestProviderOptions): EdgeProvider {
  const { url, credentials, name = kind, isSoft = false, limits, timeoutMs = 2_000 } = options
  return createHttpProvider({
    name,
    profile: PROFILES[kind],
    endpoint: { url: new URL(url), credentials, isSoft },
    limits: { ...PROFILES[kind].limits, ...limits },
    timeoutMs,
    wallMs: () => Date.now(),
  })
}
