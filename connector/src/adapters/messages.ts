/** Types of the server's messages that are read here without pg. */
export const MESSAGE = {
  copyBoth: 0x57,
  copyData: 0x64,
  copyDone: 0x63,
  complete: 0x43,
  dataRow: 0x44,
  error: 0x45,
  ready: 0x5a,
} as const

/** Reads an ErrorResponse: fields of one letter and a text, until an empty one. */
export function serverError(body: Buffer): Error {
  const fields = new Map<string, string>()
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const stop = body.indexOf(0, at + 1)
    fields.set(String.fromCharCode(body[at]!), body.toString('utf8', at + 1, stop))
    at = stop + 1
  }
  return Object.assign(new Error(fields.get('M') ?? 'an error without a message'), { code: fields.get('C') ?? '' })
}
