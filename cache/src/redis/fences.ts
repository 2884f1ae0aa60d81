import type { RedisKeys, Stamp, Tag } from '@lockstep/schemas'
import { fenceOf } from '../fence-record.ts'
import type { ClaimRequest, FenceRaiser, LeaseReply } from '../store.ts'
import { Batch } from './batch.ts'
import { invalidations } from './invalidations.ts'
import type { Command } from './pipeline.ts'

/** Invalidations and claims of one turn that travel together; see `invalidations` for how. */
const MOST = 256

/** Fences to raise together. */
interface Fencing {
  readonly fences: readonly { readonly tag: Tag; readonly stamp: Stamp }[]
  readonly shortMs: number
}

/** What the write path of a process works with. */
export interface FenceParts {
  readonly keys: RedisKeys
  /** Runs commands in one round trip. */
  readonly run: (commands: readonly Command[]) => Promise<unknown[]>
  /** Tells whether the server may evict fences: one that was raised since a load began could then be gone. */
  readonly mayEvict: () => boolean
  /** Names incarnations; must never repeat. */
  readonly nonce: () => string
}

/** Fences of the write path; those of one turn of the event loop travel together, with the claims for their keys. */
export class RedisFences implements FenceRaiser {
  readonly #parts: FenceParts
  readonly #batch = new Batch<Fencing | ClaimRequest, LeaseReply | null>(MOST, (asked) => this.#send(asked))
  /** Tags whose fences wait for the end of the turn. */
  #waiting = new Set<string>()

  constructor(parts: FenceParts) {
    this.#parts = parts
  }

  async apply(fences: Fencing['fences'], shortMs: number): Promise<void> {
    for (const { tag } of fences) this.#waiting.add(tag)
    await this.#batch.ask({ fences, shortMs })
  }

  claim(request: ClaimRequest): Promise<LeaseReply> | null {
    if (!this.#waiting.has(request.key) || this.#parts.mayEvict()) return null
    return this.#batch.ask(request) as Promise<LeaseReply>
  }

  async #send(asked: readonly (Fencing | ClaimRequest)[]): Promise<(LeaseReply | null)[]> {
    this.#waiting = new Set()
    const { keys, run, nonce } = this.#parts
    const fences: Fencing['fences'][number][] = []
    const claims: ClaimRequest[] = []
    let lifeMs = 0
    for (const one of asked) {
      if ('key' in one) claims.push(one)
      else {
        fences.push(...one.fences)
        lifeMs = Math.max(lifeMs, one.shortMs)
      }
    }
    const calls = invalidations(keys, fences, { lifeMs, nonce }, claims)
    const replies = calls.length === 0 ? [] : await run(calls.map(({ command }) => command))
    const granted = new Map<unknown, LeaseReply>()
    calls.forEach((call, index) => {
      const answers = replies[index] as [isGranted: number, fence: string][]
      call.claims.forEach((claim, place) => granted.set(claim, replyOf(claim, answers[place])))
    })
    return asked.map((one) => granted.get(one) ?? null)
  }
}

function replyOf({ stamp, holder }: ClaimRequest, [isGranted, fence]: readonly [number, string] = [0, '']): LeaseReply {
  const lease = isGranted === 1 ? `${stamp}:${holder}` : null
  return { lease, fence: fenceOf(fence), value: null, evictionMark: '' }
}
