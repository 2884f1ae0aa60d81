import type { Stamp, Tag } from '@lockstep/schemas'
import type { VerdictOutput } from './schemas.ts'

/** What a tier answered. Rejects when it did not. */
export interface TierAnswer {
  readonly status: number
  readonly ageSeconds: number | null
  /** The stamp of what the response was made from; null where the origin sends none. */
  readonly stamp: string | null
}

/** One tier as readers see it. */
export interface ReadableTier {
  readonly name: string
  /** Where readers find it; null when nobody said. */
  readonly url: string | null
}

/** Reads URLs and fences. */
export interface VerifyPorts {
  readonly read: (url: string, signal: AbortSignal) => Promise<TierAnswer>
  /** The greatest fence of the tags, their classes and `*`; null when there is no Redis to ask. */
  readonly fenceOf: (tags: readonly Tag[]) => Promise<Stamp | null>
}

// A cached answer comes within ms; an origin behind it has this long.
const READ_MS = 5_000

/** Reads a path through each tier, from the origin outward, and judges what it serves by the fences as they are now. */
export async function verifyTiers(
  tiers: readonly ReadableTier[],
  { read, fenceOf }: VerifyPorts,
  asked: { readonly path: string; readonly tags: readonly Tag[]; readonly signal: AbortSignal },
): Promise<VerdictOutput[]> {
  // Before the reads: a fence that comes meanwhile proves nothing against them.
  const fence = await fenceOf(asked.tags).catch(() => null)
  return await Promise.all(
    tiers.map(async ({ name, url: base }): Promise<VerdictOutput> => {
      const nothing = { tier: name, verdict: 'unknown' as const, status: null, ageSeconds: null, stamp: null, fence }
      if (base === null) return { ...nothing, url: '', detail: 'no read URL is configured for this tier' }
      const url = base.replace(/\/+$/, '') + asked.path
      try {
        const answer = await read(url, AbortSignal.any([asked.signal, AbortSignal.timeout(READ_MS)]))
        return { tier: name, url, fence, ...answer, ...judge(answer.stamp, fence) }
      } catch (error) {
        return { ...nothing, url, detail: error instanceof Error ? error.message : String(error) }
      }
    }),
  )
}

function judge(stamp: string | null, fence: Stamp | null): Pick<VerdictOutput, 'verdict' | 'detail'> {
  if (stamp === null) return { verdict: 'unknown', detail: 'the answer carries no stamp' }
  if (fence === null) return { verdict: 'unknown', detail: 'the fences cannot be read' }
  return { verdict: stamp >= fence ? 'fresh' : 'stale', detail: null }
}
