import { AKAMAI } from './akamai.ts'
import { BUNNY } from './bunny.ts'
import { CLOUDFLARE } from './cloudflare.ts'
import { CLOUDFRONT } from './cloudfront.ts'
import { FASTLY } from './fastly.ts'
import { GOOGLE } from './google.ts'
import { HTTP } from './http.ts'
import type { ProviderKind, ProviderProfile } from './profile.ts'
import { VARNISH } from './varnish.ts'

/** Every provider by the name that the configuration uses. */
export const PROFILES: Readonly<Record<ProviderKind, ProviderProfile>> = {
  varnish: VARNISH,
  fastly: FASTLY,
  cloudflare: CLOUDFLARE,
  cloudfront: CLOUDFRONT,
  akamai: AKAMAI,
  google: GOOGLE,
  bunny: BUNNY,
  http: HTTP,
}

/** Tells whether a name is one of a provider. */
export const isProviderKind = (name: string): name is ProviderKind => Object.hasOwn(PROFILES, name)
