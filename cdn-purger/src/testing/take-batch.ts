import { Request, type Keyed, type RequestLimits } from '../batch.ts'

/** Takes from `queue` what fits into one request, in order, and removes it there. */
export function takeBatch<T extends Keyed>(queue: Map<string, T>, limits: RequestLimits): T[] {
  const request = new Request<T>(limits)
  for (const [id, item] of queue) {
    if (!request.offer(item)) break
    queue.delete(id)
  }
  return request.items
}
