import { describe, expect, test } from 'vitest'
import { continueTrace, traceFieldsOf, traceLogFields } from './trace-context.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'
const GOOD = `00-${TRACE}-${PARENT}-01`
const digits = (bytes: number): string => 'ab'.repeat(bytes)
const NEW = { traceId: digits(16), spanId: digits(8), flags: 0 }

describe('runtime/trace-context', () => {
  test('a trace goes on under its id, with a span of this process and what tracing systems added', () => {
    const trace = continueTrace({ traceparent: GOOD, tracestate: 'rojo=00f067aa0ba902b7' }, digits)
    expect(traceFieldsOf(trace)).toEqual({
      traceparent: `00-${TRACE}-${digits(8)}-01`,
      tracestate: 'rojo=00f067aa0ba902b7',
    })
    expect(traceLogFields(trace)).toEqual({ trace_id: TRACE, span_id: digits(8) })
    expect(traceFieldsOf(continueTrace({ traceparent: GOOD }, digits))).not.toHaveProperty('tracestate')
  })

  // W3C Trace Context 3.2.2 and 4.3; the cases of its test suite that are about one field.
  test.for([
    undefined,
    '',
    'garbage',
    `${GOOD}, ${GOOD}`,
    GOOD.toUpperCase(),
    ` ${GOOD}`,
    `0-${TRACE}-${PARENT}-01`,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-01-what`,
    `01-${TRACE}-${PARENT}-01what`,
    `00-${TRACE}-${PARENT}-1`,
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE.slice(1)}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}0-01`,
    `00-${'0'.repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.replace('4', 'g')}-${PARENT}-01`,
    `00-${TRACE}-${PARENT}-0x`,
    [GOOD, GOOD],
  ])('%j begins a new trace, without what was added to the old one', (traceparent) => {
    expect(continueTrace({ traceparent, tracestate: 'rojo=1' }, digits)).toEqual(NEW)
  })

  test('a later version is read by what this one knows, and handed on in this one', () => {
    for (const traceparent of [`cc-${TRACE}-${PARENT}-01`, `cc-${TRACE}-${PARENT}-ff-what-comes`]) {
      expect(traceFieldsOf(continueTrace({ traceparent }, digits)).traceparent).toBe(`00-${TRACE}-${digits(8)}-01`)
    }
  })

  test('what tracing systems added is dropped where it is longer than a tracer has to bear', () => {
    const tracestate = `a=${'x'.repeat(511)}`
    expect(continueTrace({ traceparent: GOOD, tracestate }, digits)).toEqual({ ...NEW, traceId: TRACE, flags: 1 })
    expect(continueTrace({ traceparent: GOOD, tracestate: ['a=1', 'b=2'] }, digits).state).toBe('a=1,b=2')
  })

  test('new ids are never the same twice', () => {
    const traces = Array.from({ length: 100 }, () => continueTrace())
    expect(new Set(traces.flatMap(({ traceId, spanId }) => [traceId, spanId])).size).toBe(200)
    for (const { traceId, spanId } of traces) expect(`${traceId}-${spanId}`).toMatch(/^[0-9a-f]{32}-[0-9a-f]{16}$/)
  })
})
