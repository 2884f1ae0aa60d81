import manifest from '../package.json' with { type: 'json' }
import { atLeast, atMost, median, onRig, plain, round, runParts, type Bench, type Figure, type Part } from './bench.ts'
import { measureHeap } from './cache/heap.ts'
import { measureL1 } from './cache/l1.ts'
import { measureL2 } from './cache/l2.ts'
import { KEYS, openCacheRig, ratioOf, type CacheRig } from './cache/rig.ts'
import { measureStampede } from './cache/stampede.ts'
import { measureZipf, type ZipfResults } from './cache/zipf.ts'

const SMALL_L1 = KEYS / 10

function medians(layer: string, results: Map<string, number[]>, unit: string, digits = 0): Figure[] {
  return [...results].map(([name, values]) => plain(`${layer}: ${name}`, round(median(values), digits), unit))
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
  const ratio = ({ opsPerSecond }: ZipfResults): number => round(ratioOf(opsPerSecond, 'lockstep', 'layered-loader'), 2)
  return [
    ...medians('Zipf', all.opsPerSecond, 'ops/s'),
    ...medians('Zipf, stale reads', all.stalePercent, '%', 2),
    ...medians('Zipf, L1 of a tenth', tenth.opsPerSecond, 'ops/s'),
    ...medians('Zipf, L1 of a tenth, stale reads', tenth.stalePercent, '%', 2),
    atLeast('zipfVsBestPeer', ratio(all), 'x', 1.3),
    plain('zipfTenthVsBestPeer', ratio(tenth), 'x'),
  ]
}

async function heap(rig: CacheRig): Promise<readonly Figure[]> {
  const { ours, read, lru, bare } = await measureHeap(rig)
  return [
    plain('heap: lockstep', round(ours, 0), 'B/entry'),
    plain('heap: lockstep, all read twice', round(read, 0), 'B/entry'),
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

const on = (measure: (rig: CacheRig) => Promise<readonly Figure[]>): Part => onRig(openCacheRig, measure)

/** The cache library beside its peers, all validity checks on. */
export const cacheBench: Bench = {
  versions: manifest.devDependencies,
  run: () => runParts({ heap: on(heap), l1: on(l1), l2: on(l2), zipf: on(zipf), stampede: on(stampede) }),
}
