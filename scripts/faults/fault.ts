/** One fault: what the system does then, and the tests that hold it, by their titles; or why there is none. */
export interface Fault {
  readonly id: string
  readonly fault: string
  readonly answer: string
  readonly tests?: readonly string[]
  readonly why?: string
}
