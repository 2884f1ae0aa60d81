/** The environment this process was started with: the only place of the room that reads it. */
export const environment: NodeJS.ProcessEnv = process.env

/** Variables for a child process: ours and the given ones. */
export function childEnvironment(values: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...values }
}
