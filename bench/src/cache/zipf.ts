import { setImmediate as turn } from 'node:timers/promises'
import { createRandom, createZipf } from '@lockstep/runtime'
import { bentocache, layeredLoader, type Peer, type PeerOptions } from './peers.ts'
import {
  defineProducts,
  idOf,
  inTurn,
  keys,
  KEYS,
  product,
  SEED,
  type CacheRig,
  type Contestant,
  type Product,
} from './rig.ts'

const OPERATIONS = 200_000
const CLIENTS = 64
const WRITE_SHARE = 0.01
const THETA = 0.99
const ROUNDS = 11
/** V8 goes on compiling for some ten rounds: ours take 860 ms, 220, 200, … and then 160 to 180, layered-loader's 500 and then 200. */
const WARM_UPS = 8

// The draws are made before, so that they cost no contestant anything. Negative: a write.
const random = createRandom(SEED)
const rank = createZipf(KEYS, THETA, random)
const script = Int32Array.from({ length: OPERATIONS }, () => {
  const drawn = rank()
  return random() < WRITE_SHARE ? -1 - drawn : drawn
})

type Service = Pick<Peer, 'read' | 'written'>

/**
 * 64 clients over their own database of versions. A read is stale that is older than the row was at its begin, also while
 * the write that makes it so waits for its own answer.
 */
function measure(create: (load: PeerOptions['load']) => Service): {
  readonly run: () => Promise<number>
  readonly stalePercent: () => number
} {
  let reads = 0
  let stale = 0
  const versions = new Int32Array(KEYS)
  // A driver answers in a later turn, never in this one.
  const load = async (key: string): Promise<Product> => {
    await turn()
    return product(idOf(key), versions[idOf(key)])
  }
  const service = create(load)
  const run = async (): Promise<number> => {
    let next = 0
    const begun = performance.now()
    const client = async (): Promise<void> => {
      for (let at = next++; at < OPERATIONS; at = next++) {
        const step = script[at] ?? 0
        if (step >= 0) {
          const least = (versions[step] ?? 0) + 1_000
          const value = await service.read(keys[step] ?? '')
          reads += 1
          if ((value?.priceCents ?? 0) < least) stale += 1
        } else {
          versions[-1 - step] = (versions[-1 - step] ?? 0) + 1
          await service.written(keys[-1 - step] ?? '')
        }
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    return (OPERATIONS / (performance.now() - begun)) * 1_000
  }
  return { run, stalePercent: () => (stale / Math.max(1, reads)) * 100 }
}

/** Ops/s of each contestant by round, and the share of its reads (%) that were older than the row was when they began. */
export interface ZipfResults {
  readonly opsPerSecond: Map<string, number[]>
  readonly stalePercent: Map<string, number[]>
}

/** Zipf 0.99, 1 % writes, 64 clients, L1 and Redis, in turn. `maxEntries` bounds the memory of every contestant. */
export async function measureZipf(rig: CacheRig, maxEntries: number): Promise<ZipfResults> {
  const cache = await rig.cache({ l1: { maxEntries }, maxConcurrentLoads: 1_000 })
  const peers: Peer[] = []
  const peer = (create: typeof layeredLoader, name: string) => (load: PeerOptions['load']) => {
    const redis = { url: rig.url, prefix: `${name}-${maxEntries}` }
    const created = create({ load, memory: { maxEntries }, redis, bus: true })
    peers.push(created)
    return created
  }
  const services: readonly (readonly [string, (load: PeerOptions['load']) => Service])[] = [
    [
      'lockstep',
      (load) => {
        const entry = defineProducts(cache, load)
        const written = (key: string): Promise<void> => entry.invalidate(key, rig.pipeline.commit())
        return { read: (key) => entry.get(key), written }
      },
    ],
    ['layered-loader', peer(layeredLoader, 'layered-loader')],
    ['bentocache', peer(bentocache, 'bentocache')],
  ]
  const measured = services.map(([name, create]) => ({ name, ...measure(create) }))
  try {
    const opsPerSecond = await inTurn(
      measured.map(({ name, run }): Contestant => [name, run]),
      ROUNDS,
      WARM_UPS,
    )
    return { opsPerSecond, stalePercent: new Map(measured.map(({ name, stalePercent }) => [name, [stalePercent()]])) }
  } finally {
    for (const peer of peers) peer.close()
  }
}
