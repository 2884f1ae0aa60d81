/** What the origin answers, if it is asked. */
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** What it answers to a request with a validator that names this ETag or time: 304 with these fields. */
  readonly notModified?: Readonly<Record<string, string>>
  /** Closes the connection without an answer. */
  readonly isDown?: boolean
}

/** Where an answer came from: the store, the origin, or the store after the origin said 304. */
export type From = 'store' | 'origin' | 'validated'

/** One request, what the origin would say to it, and what has to come back. */
export interface Step {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Added to the path of the case. */
  readonly path?: string
  /** Waits before, ms: for lifetimes, which HTTP counts in seconds. */
  readonly afterMs?: number
  readonly answer?: Answer
  /** Any of several is right where the specification leaves a choice. */
  readonly from?: From | readonly From[]
  readonly status?: number | readonly number[]
  /** Fields of the answer: a pattern that has to match, or null for none of this name. */
  readonly has?: Readonly<Record<string, RegExp | null>>
  /** Fields of the request as the origin received it. */
  readonly asks?: Readonly<Record<string, RegExp | null>>
  /** Waits until the origin was asked behind the client's back. */
  readonly renews?: true
}

/** MUST: the specification forbids anything else. SHOULD: it advises it. MAY: what a cache that is worth having does. */
export type Level = 'MUST' | 'SHOULD' | 'MAY'

/** One behaviour of a shared cache. */
export interface Case {
  readonly name: string
  /** Where it is written: `RFC 9111 5.2.2.5`. */
  readonly section: string
  readonly level: Level
  readonly steps: readonly Step[]
}

/** Makes the cases of one level and section shorter to write. */
export function law(level: Level, section: string, name: string, ...steps: Step[]): Case {
  return { name, section, level, steps }
}

/** An answer with this Cache-Control. */
export const cc = (control: string, headers: Answer['headers'] = {}): Answer => ({
  headers: { 'cache-control': control, ...headers },
})

/** The steps of "the second request is not answered from the store". */
export const notReused = (answer: Answer, request: Partial<Step> = {}): [Step, Step] => [
  { ...request, answer, from: 'origin' },
  { ...request, answer, from: ['origin', 'validated'] },
]

/** The steps of "the second request is answered from the store". */
export const reused = (answer: Answer, request: Partial<Step> = {}): [Step, Step] => [
  { ...request, answer, from: 'origin' },
  { ...request, from: 'store' },
]

/** Longer than a lifetime of one second, by what Varnish's clock rounds. */
export const EXPIRED_MS = 1_600
