import { request as send, type IncomingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as pass } from 'node:timers/promises'
import { pollUntil } from '@lockstep/servers'
import type { Case, From, Step } from './case.ts'
import type { Script, ScriptedOrigin } from './origin.ts'

/** What became of a case: why it failed, or null. */
export interface Outcome {
  readonly law: Case
  readonly failure: string | null
}

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const RENEWAL_MS = 2_000

function ask(url: string, { method = 'GET', headers = {} }: Step): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = send(url, { method, headers, agent: false }, (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      )
    })
    request.once('error', reject)
    request.end()
  })
}

/**
 * Where the answer came from: by its body, which says which answer of the origin it is; where it has none, by whether
 * the origin was asked. What is served stale and renewed behind it comes from the store.
 */
function sourceOf(script: Script, before: number, { body }: Reply): From {
  const number = /^answer (\d+)$/.exec(body)?.[1]
  if (script.asked.length === before) return 'store'
  if (number === undefined || Number(number) > before) return 'origin'
  return script.answer.notModified === undefined ? 'store' : 'validated'
}

function mismatch(has: Step['has'], fields: IncomingHttpHeaders, whose: string): string | null {
  for (const [name, pattern] of Object.entries(has ?? {})) {
    const value = fields[name]
    const isRight = pattern === null ? value === undefined : value !== undefined && pattern.test(String(value))
    if (!isRight) return `${whose} ${name} is ${String(value)}`
  }
  return null
}

const allowed = <T>(wanted: T | readonly T[]): readonly T[] => [wanted].flat() as readonly T[]

async function take(step: Step, url: string, script: Script): Promise<string | null> {
  if (step.afterMs !== undefined) await pass(step.afterMs)
  script.answer = step.answer ?? {}
  const before = script.asked.length
  const reply = await ask(url + (step.path ?? ''), step)
  const from = sourceOf(script, before, reply)
  if (step.from !== undefined && !allowed(step.from).includes(from)) return `answered from ${from}`
  if (step.status !== undefined && !allowed(step.status).includes(reply.status)) return `status ${reply.status}`
  const renewed = !step.renews || (await pollUntil(() => script.asked.length > before, RENEWAL_MS))
  if (!renewed) return 'not renewed'
  return (
    mismatch(step.has, reply.headers, 'the answer:') ??
    mismatch(step.asks, script.asked.at(-1)?.headers ?? {}, 'asked:')
  )
}

/** Plays a case through a cache at `url`. */
export async function play(law: Case, id: string, url: string, origin: ScriptedOrigin): Promise<Outcome> {
  const script = origin.script(id)
  for (const [index, step] of law.steps.entries()) {
    const failure = await take(step, `${url}/${id}`, script)
    if (failure !== null) return { law, failure: `step ${index + 1}: ${failure}` }
  }
  return { law, failure: null }
}
