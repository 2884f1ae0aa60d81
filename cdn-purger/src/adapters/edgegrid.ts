import EdgeGrid from 'akamai-edgegrid'
import type { Endpoint, Signer } from '../providers/profile.ts'

// The constructor registers with a global HTTP client each time, so there is one per endpoint.
const signers = new WeakMap<Endpoint, EdgeGrid>()

function signerOf(endpoint: Endpoint): EdgeGrid {
  const known = signers.get(endpoint)
  if (known) return known
  const { clientToken, clientSecret, accessToken } = endpoint.credentials
  // EdgeGrid signs https, whatever a proxy makes of it.
  const signer = new EdgeGrid(clientToken ?? '', clientSecret, accessToken, `https://${endpoint.url.host}`)
  signers.set(endpoint, signer)
  return signer
}

/** Signs with Akamai's EdgeGrid, by Akamai's own library; the request itself is not sent through it. */
export const signEdgeGrid: Signer = async (call, endpoint) => {
  const { method, path, headers, body } = call
  const { request } = signerOf(endpoint).auth({ method, path, headers: { ...headers }, body })
  const { Authorization: authorization } = (request as { headers: { Authorization: string } }).headers
  return await Promise.resolve({ ...call, headers: { ...headers, authorization } })
}
