/** Everybody's. */
export const PASSWORD = 'correct horse'

/** Signs up at an API, unless the name is known there, and logs in; answers the session. */
export async function signIn(apiUrl: string, name: string): Promise<string> {
  const post = (path: string): Promise<Response> =>
    fetch(apiUrl + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, password: PASSWORD }),
    })
  await post('/accounts')
  const { token } = (await (await post('/login')).json()) as { token?: string }
  if (token === undefined) throw new Error(`${name} could not log in`)
  return token
}
