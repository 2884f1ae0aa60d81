import manifest from '../package.json' with { type: 'json' }
import { atLeast, atMost, type Bench, type Figure } from './bench.ts'
import { measureHeap } from './cache/heap.ts'
import { measureL1 } from './cache/l1.ts'
import { measureL2 } from './cache/l2.ts'
import { KEYS, median, openCacheRig, ratioOf, type CacheRig } from './cache/rig.ts'
import { measureStampede } from './cache/stampede.ts'
import { measureZipf } from './cache/zipf.ts'

const SMALL_L1 = KEYS / 10

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

function plain(name: string, value: number, unit: string): Figure {
  return { name, value, unit, target: null, met: null }
}

function medians(layer: string, results: Map<string, number[]>, unit: string): Figure[] {
  return [...results].map(([name, values]) => plain(`${layer}: ${name}`, round(median(values), 0), unit))
}

async function l1(rig: CacheRig): Promise<readonly Figure[]> {
  const results = await measureL1(rig)
  return [
    ...medians('L1', results, 'ns'),
    atMost('l1PeekRatio', round(ratioOf(results, 'lockstep peek', 'lru-cache get'), 2), 'x', 1.6),
    atMost('l1GetRatio', round(ratioOf(results, 'lockstep get', 'lru-cache fetch'), 2), 'x', 1.15),
  ]
}

async function l2(rig: CacheRig): Promise<readonly Figure[]> {
  const results = await measureL2(rig)
  const ratio = ratioOf(results, 'lockstep', 'ioredis auto-pipelining')
  return [...medians('L2', results, 'ops/s'), atLeast('l2HitRatio', round(ratio, 2), 'x', 0.9)]
}

async function zipf(rig: CacheRig): Promise<readonly Figure[]> {
  const all = await measureZipf(rig, KEYS)
  const tenth = await measureZipf(rig, SMALL_L1)
  const ratio = ratioOf(all, 'lockstep', 'layered-loader')
  return [
    ...medians('Zipf', all, 'ops/s'),
    ...medians('Zipf, L1 of a tenth', tenth, 'ops/s'),
    atLeast('zipfVsBestPeer', round(ratio, 2), 'x', 1.3),
    plain('zipfTenthVsBestPeer', round(ratioOf(tenth, 'lockstep', 'layered-loader'), 2), 'x'),
  ]
}

async function heap(rig: CacheRig): Promise<readonly Figure[]> {
  const { ours, lru, bare } = await measureHeap(rig)
  return [
    plain('heap: lockstep', round(ours, 0), 'B/entry'),
    plain('heap: lru-cache', round(lru, 0), 'B/entry'),
    plain('heap: the bare value', round(bare, 0), 'B/entry'),
    atMost('heapRatio', round(ours / lru, 2), 'x', 1.3),
  ]
}

async function stampede(rig: CacheRig): Promise<readonly Figure[]> {
  const one = await measureStampede(rig, 1)
  const four = await measureStampede(rig, 4)
  return [
    atMost('stampedeOneLoads', one.loads, 'loads', 1),
    atMost('stampedeOneMs', round(one.lastAnswerMs, 1), 'ms', 10),
    atMost('stampedeFourLoads', four.loads, 'loads', 1),
    atMost('stampedeFourMs', round(four.lastAnswerMs, 1), 'ms', 30),
  ]
}

const PARTS: Readonly<Record<string, (rig: CacheRig) => Promise<readonly Figure[]>>> = { heap, l1, l2, zipf, stampede }

/** The cache library beside its peers, all validity checks on; `LOCKSTEP_BENCH_PARTS=l1,l2` runs these parts only. */
export const cacheBench: Bench = {
  versions: manifest.devDependencies,
  async run(): Promise<Figure[]> {
    const chosen = process.env['LOCKSTEP_BENCH_PARTS']?.split(',') ?? Object.keys(PARTS)
    const figures: Figure[] = []
    for (const name of chosen) {
      const rig = await openCacheRig()
      try {
        figures.push(...((await PARTS[name]?.(rig)) ?? []))
      } finally {
        await rig.close()
      }
    }
    return figures
  },
}
