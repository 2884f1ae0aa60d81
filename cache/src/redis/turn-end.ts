/** What is left to do when the loop has taken in all that was there. */
let left: (() => void)[] = []

function finish(): void {
  // What these leave for the end of the turn is done at once.
  for (let index = 0; index < left.length; index++) left[index]?.()
  left = []
}

/**
 * Runs the work when this turn of the event loop ends: after the callbacks of all sockets that had something, not after
 * each, so that what many requests ask for is asked at once. A loop with nothing else to do is there at once. The work must
 * not throw.
 */
export function atTurnEnd(work: () => void): void {
  if (left.length === 0) setImmediate(finish)
  left.push(work)
}
