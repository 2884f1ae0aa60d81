/** Fails when a case of a union was forgotten; the compiler finds it first. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected case: ${JSON.stringify(value)}`)
}
