/** Polls until the condition holds. @throws Error when it does not within `deadlineMs`. */
export async function waitFor(condition: () => boolean | Promise<boolean>, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`condition does not hold within ${deadlineMs} ms: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
