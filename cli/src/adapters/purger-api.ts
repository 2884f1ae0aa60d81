import { fail } from '../errors.ts'

/** How to reach the admin API of a purger. */
export interface PurgerApiOptions {
  readonly url: string
  readonly token: string
}

/** A request to the admin API. */
export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | undefined
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>> | undefined
  readonly body?: object | undefined
  readonly idempotencyKey?: string | undefined
  readonly accept?: string | undefined
}

/** The admin API as the commands use it. */
export interface PurgerApi {
  /** @throws LOCKSTEP_CLI_API_REFUSED with the code of the refusal, LOCKSTEP_CLI_API_UNREACHABLE. */
  call<T>(request: ApiRequest): Promise<T>
  /** The answer line by line, as it comes. @throws as `call`. */
  lines(request: ApiRequest): AsyncIterable<string>
}

/** Opens the admin API; nothing is sent yet. */
export function createPurgerApi({ url, token }: PurgerApiOptions): PurgerApi {
  const send = async ({ method = 'GET', path, query = {}, body, idempotencyKey, accept }: ApiRequest) => {
    const address = new URL(path, url)
    for (const [name, value] of Object.entries(query)) if (value !== undefined) address.searchParams.set(name, value)
    const headers: Record<string, string> = { authorization: `Bearer ${token}` }
    if (accept !== undefined) headers['accept'] = accept
    if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey
    if (body !== undefined) headers['content-type'] = 'application/json'
    let response: Response
    try {
      response = await fetch(address, {
        method,
        headers,
        redirect: 'error',
        ...(body && { body: JSON.stringify(body) }),
      })
    } catch (error) {
      const { cause = error } = error as { cause?: unknown }
      const reason = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : String(cause)
      throw fail('LOCKSTEP_CLI_API_UNREACHABLE', { url: address.origin, reason }, error)
    }
    if (!response.ok) throw await refusal(response)
    return response
  }
  return {
    call: async <T>(request: ApiRequest) => (await (await send(request)).json()) as T,
    async *lines(request) {
      const { body } = await send(request)
      let rest = ''
      const decoder = new TextDecoder()
      for await (const chunk of body ?? []) {
        rest += decoder.decode(chunk, { stream: true })
        const lines = rest.split('\n')
        rest = lines.pop() ?? ''
        yield* lines
      }
      if (rest !== '') yield rest
    },
  }
}

async function refusal(response: Response): Promise<Error> {
  const text = await response.text()
  let problem: { code?: unknown; detail?: unknown } = {}
  try {
    problem = JSON.parse(text) as typeof problem
  } catch {
    // Something else answers there.
  }
  const code = typeof problem.code === 'string' ? problem.code : `HTTP ${response.status}`
  const detail = typeof problem.detail === 'string' ? problem.detail : 'no problem document came with it'
  return fail('LOCKSTEP_CLI_API_REFUSED', { code, detail })
}
