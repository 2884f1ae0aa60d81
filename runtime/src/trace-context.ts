import { randomBytes } from 'node:crypto'

/** Where work belongs to, over processes (W3C Trace Context, level 1). */
export interface TraceContext {
  /** 32 hex digits: the whole of what one request set off. */
  readonly traceId: string
  /** 16 hex digits: this process' part of it. */
  readonly spanId: string
  /** Bit 0: whoever began the trace records it. */
  readonly flags: number
  /** What tracing systems add of their own, handed on as it came. */
  readonly state?: string | undefined
}

// 3.2.2: a later version may append fields behind a dash; the first four keep their place.
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const ZEROS = /^0+$/
const SAMPLED = 1
// 3.3.1.5: at least this much is to be propagated; more may be dropped.
const MAX_STATE_CHARS = 512

/** Headers of a request or a record, by names in lower case. */
type Fields = Readonly<Record<string, string | readonly string[] | undefined>>

const hex = (bytes: number): string => randomBytes(bytes).toString('hex')

/** Begins this process' part of the trace that the fields name; of a new trace where they are absent or malformed (4.3). */
export function continueTrace(fields: Fields = {}, random = hex): TraceContext {
  const { traceparent, tracestate } = fields
  const [, version, traceId, parentId, flags, more] = TRACEPARENT.exec(String(traceparent)) ?? []
  const isValid =
    traceId !== undefined &&
    parentId !== undefined &&
    version !== 'ff' &&
    !(version === '00' && more !== undefined) &&
    !ZEROS.test(traceId) &&
    !ZEROS.test(parentId)
  const spanId = random(8)
  if (!isValid) return { traceId: random(16), spanId, flags: 0 }
  const state = tracestate === undefined ? undefined : String(tracestate)
  const isKept = state !== undefined && state.length <= MAX_STATE_CHARS
  return { traceId, spanId, flags: parseInt(flags ?? '0', 16) & SAMPLED, ...(isKept ? { state } : {}) }
}

/** The fields by which the next process continues the trace. */
export function traceFieldsOf({ traceId, spanId, flags, state }: TraceContext): Readonly<Record<string, string>> {
  const traceparent = `00-${traceId}-${spanId}-0${flags}`
  return state === undefined ? { traceparent } : { traceparent, tracestate: state }
}

/** What a log line says of the trace, by the names that OpenTelemetry gives outside its own protocol. */
export function traceLogFields({ traceId, spanId }: TraceContext): {
  readonly trace_id: string
  readonly span_id: string
} {
  return { trace_id: traceId, span_id: spanId }
}
