import type { Static, TSchema } from 'typebox'
import type { Principal, Role } from './auth.ts'
import type { AdminCode } from './errors.ts'

/** One request, checked against the route's schemas. */
export interface Call<P = unknown, Q = unknown, B = unknown> {
  readonly principal: Principal
  readonly params: P
  readonly query: Q
  readonly body: B
  readonly idempotencyKey: string | undefined
  readonly accept: string
  /** Aborts when the server closes. */
  readonly signal: AbortSignal
}

/** What is answered: JSON unless `type` says otherwise, and then text as it comes. */
export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly type?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** One documented answer. */
export interface AnswerSpec {
  readonly description: string
  readonly schema?: TSchema | undefined
  /** Other media types of the same answer; each line or event holds the schema given. */
  readonly streams?: Readonly<Record<string, TSchema>> | undefined
}

/** One operation: what is registered, checked and documented all comes from here. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST'
  /** With `{id}` where a parameter stands. */
  readonly path: string
  readonly operationId: string
  readonly summary: string
  readonly role: Role
  readonly params?: TSchema | undefined
  readonly query?: TSchema | undefined
  readonly body?: TSchema | undefined
  /** Whether the Idempotency-Key header is understood. */
  readonly isIdempotent?: boolean | undefined
  readonly answers: Readonly<Record<number, AnswerSpec>>
  /** Refusals beyond those that every route has. */
  readonly refusals?: readonly AdminCode[] | undefined
  handle(call: Call): Promise<Answer>
}

interface TypedRoute<P extends TSchema, Q extends TSchema, B extends TSchema> extends Omit<AdminRoute, 'handle'> {
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  handle(call: Call<Static<P>, Static<Q>, Static<B>>): Promise<Answer>
}

/** Declares an operation whose handler sees the types of its schemas. */
export function route<P extends TSchema, Q extends TSchema, B extends TSchema>(spec: TypedRoute<P, Q, B>): AdminRoute {
  return spec as AdminRoute
}
