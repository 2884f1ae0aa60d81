import { AwsV4Signer } from 'aws4fetch'
import type { Signer } from '../providers/profile.ts'

/** Signs with AWS Signature Version 4. */
export function signSigV4({ service, region }: { service: string; region: string }): Signer {
  return async (call, { url, credentials }) => {
    const { accessKeyId = '', secretAccessKey = '', sessionToken } = credentials
    const signer = new AwsV4Signer({
      method: call.method,
      url: url.origin + call.path,
      headers: call.headers,
      body: call.body ?? '',
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined || sessionToken === '' ? {} : { sessionToken }),
      service,
      region,
    })
    const { headers } = await signer.sign()
    return { ...call, headers: Object.fromEntries(headers) }
  }
}
